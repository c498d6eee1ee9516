//! A plan: an immutable DAG of steps from observed to desired. The executor gets no choices.

mod build;
mod destroy;
mod verdict;

use std::collections::BTreeSet;

use petgraph::Direction;
use petgraph::algo::{has_path_connecting, toposort};
use petgraph::graph::{DiGraph, NodeIndex};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arm::{ArmId, Kind};
use crate::dataplane::RequestAction;
use crate::diff::Difference;

pub use build::{MAX_SLOTS, PlanError, plan, present_servers, survey};
pub use destroy::plan_destroy;
pub use verdict::{Standing, Verdict, Violation, verdict};

/// What a step does to the world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "action")]
pub enum Action {
    /// Writes an ARM object whole and waits until it is provisioned.
    Put {
        /// Logical name; its final body is the object's output.
        object: String,
        /// Type.
        kind: Kind,
        /// Id.
        id: ArmId,
        /// Body, with references.
        body: Value,
        /// Whether it exists already.
        update: bool,
        /// Why, for an update.
        differences: Vec<Difference>,
    },
    /// Waits for a write that an earlier run began.
    AwaitProvisioned {
        /// Logical name; its final body is the object's output.
        object: String,
        /// Type.
        kind: Kind,
        /// Id.
        id: ArmId,
    },
    /// Deletes an ARM object and waits until it is gone.
    Delete {
        /// Type.
        kind: Kind,
        /// Id.
        id: ArmId,
        /// Why.
        reason: String,
    },
    /// Gives the caller the right to read and write blobs of the new account, and waits until a write succeeds.
    GrantCallerBlobAccess {
        /// The account.
        account: ArmId,
    },
    /// Writes a document.
    WriteDocument {
        /// Container.
        container: String,
        /// Blob.
        name: String,
        /// JSON, with references.
        content: Value,
    },
    /// Makes a secret once; what exists is kept.
    MintSecret {
        /// Which one.
        secret: Secret,
    },
    /// Stores a program under its hash; what exists is kept.
    UploadArtifact {
        /// Which one.
        artifact: Artifact,
    },
    /// Reads the private address of a new server.
    ReadAddress {
        /// Its slot.
        slot: u32,
        /// Its scale set.
        scale_set: ArmId,
    },
    /// Asks a server to do something and waits until the others see it done.
    Ask {
        /// The server.
        slot: u32,
        /// Its Consul node name.
        node_name: String,
        /// What.
        request: RequestAction,
        /// Node names of the voters that must be healthy afterwards, sorted.
        remaining: Vec<String>,
    },
    /// Waits until exactly these servers are healthy voters under one leader.
    WaitHealthy {
        /// Node names, sorted.
        voters: Vec<String>,
    },
}

/// Secrets of a cluster, each made once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Secret {
    /// Private key and certificate of the cluster's CA.
    CertificateAuthority,
    /// Gossip encryption key.
    GossipKey,
    /// Management token.
    ManagementToken,
    /// Key and certificate of one server.
    ServerCertificate {
        /// Its slot.
        slot: u32,
    },
    /// Agent token of one server.
    AgentToken {
        /// Its slot.
        slot: u32,
    },
}

/// Programs that servers run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Artifact {
    /// Consul of this version.
    Consul {
        /// The version.
        version: semver::Version,
    },
    /// The host manager that belongs to this provider.
    HostManager,
}

/// One node of the DAG.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Unique in the plan and stable between plans: `create server_0`.
    pub id: String,
    /// What it does.
    #[serde(flatten)]
    pub action: Action,
    /// The server it concerns.
    pub slot: Option<u32>,
}

/// An immutable DAG of steps.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    graph: DiGraph<Step, ()>,
}

impl Plan {
    /// No step: observed is desired.
    pub fn is_empty(&self) -> bool {
        self.graph.node_count() == 0
    }

    /// Number of steps.
    pub fn len(&self) -> usize {
        self.graph.node_count()
    }

    /// Steps in an order that the DAG allows, by id where it leaves a choice.
    pub fn steps(&self) -> Vec<(StepIndex, &Step)> {
        let mut open: Vec<usize> = self
            .graph
            .node_indices()
            .map(|node| self.graph.neighbors_directed(node, Direction::Incoming).count())
            .collect();
        // Nodes are numbered by id (see `Draft::finish`), so the smallest number is the smallest id.
        let mut ready: BTreeSet<usize> =
            open.iter().enumerate().filter(|(_, needs)| **needs == 0).map(|(at, _)| at).collect();
        let mut steps = Vec::with_capacity(self.len());
        while let Some(at) = ready.pop_first() {
            let node = NodeIndex::new(at);
            steps.push((StepIndex(at), &self.graph[node]));
            for next in self.graph.neighbors_directed(node, Direction::Outgoing) {
                if let Some(needs) = open.get_mut(next.index()) {
                    *needs -= 1;
                    if *needs == 0 {
                        ready.insert(next.index());
                    }
                }
            }
        }
        steps
    }

    /// One step.
    pub fn step(&self, index: StepIndex) -> Option<&Step> {
        self.graph.node_weight(NodeIndex::new(index.0))
    }

    /// Steps that must be done before this one.
    pub fn needs(&self, index: StepIndex) -> Vec<StepIndex> {
        self.neighbors(index, Direction::Incoming)
    }

    /// Steps that must be done right before this one: without those that another of them waits for anyway.
    pub fn direct_needs(&self, index: StepIndex) -> Vec<StepIndex> {
        let needs = self.needs(index);
        let implied = |need: StepIndex| {
            needs.iter().any(|other| {
                *other != need
                    && has_path_connecting(
                        &self.graph,
                        NodeIndex::new(need.0),
                        NodeIndex::new(other.0),
                        None,
                    )
            })
        };
        needs.iter().copied().filter(|need| !implied(*need)).collect()
    }

    /// Steps that wait for this one.
    pub fn feeds(&self, index: StepIndex) -> Vec<StepIndex> {
        self.neighbors(index, Direction::Outgoing)
    }

    fn neighbors(&self, index: StepIndex, direction: Direction) -> Vec<StepIndex> {
        let mut found: Vec<_> = self
            .graph
            .neighbors_directed(NodeIndex::new(index.0), direction)
            .map(|node| StepIndex(node.index()))
            .collect();
        found.sort_unstable();
        found
    }

    /// Whether a step with this id is there.
    pub fn has(&self, id: &str) -> bool {
        self.graph.node_weights().any(|step| step.id == id)
    }

    /// Whether the plan uploads or refers to the host manager's hash.
    pub fn uploads(&self, artifact: &Artifact) -> bool {
        self.graph.node_weights().any(
            |step| matches!(&step.action, Action::UploadArtifact { artifact: a } if a == artifact),
        )
    }
}

/// A step's place in its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepIndex(usize);

/// A plan in the making: steps by id, edges by id.
#[derive(Default)]
struct Draft {
    steps: Vec<Step>,
    edges: Vec<(String, String)>,
}

impl Draft {
    fn add(&mut self, id: impl Into<String>, action: Action, slot: Option<u32>) -> String {
        let id = id.into();
        self.steps.push(Step { id: id.clone(), action, slot });
        id
    }

    /// `after` waits for `before`; an edge to a step that is not in the plan says nothing.
    fn edge(&mut self, before: &str, after: &str) {
        self.edges.push((before.to_owned(), after.to_owned()));
    }

    fn has(&self, id: &str) -> bool {
        self.steps.iter().any(|step| step.id == id)
    }

    /// Steps are sorted by id, so that the order of construction leaves no trace.
    fn finish(mut self) -> Result<Plan, PlanError> {
        self.steps.sort_by(|a, b| a.id.cmp(&b.id));
        self.edges.sort();
        self.edges.dedup();
        let mut graph = DiGraph::new();
        let mut nodes = std::collections::BTreeMap::new();
        for step in self.steps {
            let id = step.id.clone();
            nodes.insert(id, graph.add_node(step));
        }
        for (before, after) in &self.edges {
            if let (Some(from), Some(to)) = (nodes.get(before), nodes.get(after)) {
                graph.add_edge(*from, *to, ());
            }
        }
        if let Err(cycle) = toposort(&graph, None) {
            return Err(PlanError::Cycle { step: graph[cycle.node_id()].id.clone() });
        }
        Ok(Plan { graph })
    }
}
