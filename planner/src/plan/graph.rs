//! The DAG: steps sorted by id, edges without those that others imply, an order that never depends on how it was built.

use std::collections::{BTreeSet, HashMap};

use petgraph::Direction;
use petgraph::algo::toposort;
use petgraph::graph::{DiGraph, NodeIndex};

use super::{Action, Artifact, PlanError, Step, Verdict};

/// An immutable DAG of steps, with what is proven about it.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    graph: DiGraph<Step, ()>,
    order: Vec<StepIndex>,
    ancestors: Ancestors,
    pub(super) verdict: Verdict,
}

/// A step's place in its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepIndex(pub(super) usize);

impl Plan {
    /// A plan of these steps; each edge says that its second step waits for its first. Ids must be unique.
    pub fn new(
        steps: Vec<Step>,
        edges: impl IntoIterator<Item = (usize, usize)>,
    ) -> Result<Self, PlanError> {
        let count = steps.len();
        // Sorted by id, so that the order of construction leaves no trace.
        let mut by_id: Vec<usize> = (0..count).collect();
        by_id.sort_unstable_by(|a, b| steps[*a].id.cmp(&steps[*b].id));
        if let Some(pair) = by_id.windows(2).find(|pair| steps[pair[0]].id == steps[pair[1]].id) {
            return Err(PlanError::Twice { step: steps[pair[0]].id.clone() });
        }
        let mut place = vec![0; count];
        by_id.iter().enumerate().for_each(|(to, from)| place[*from] = to);
        let mut needs: Vec<Vec<usize>> = vec![Vec::new(); count];
        for (before, after) in edges {
            if let (Some(before), Some(after)) = (place.get(before), place.get(after)) {
                needs[*after].push(*before);
            }
        }
        for list in &mut needs {
            list.sort_unstable();
            list.dedup();
        }
        let mut graph = DiGraph::with_capacity(count, 2 * count);
        let mut steps: Vec<Option<Step>> = steps.into_iter().map(Some).collect();
        for from in &by_id {
            if let Some(step) = steps[*from].take() {
                graph.add_node(step);
            }
        }
        let Some(order) = topological(&needs) else {
            return Err(cycle(graph, &needs));
        };
        let ancestors = Ancestors::new(&needs, &order);
        for at in &order {
            // An edge that another one implies says nothing.
            let list = &needs[*at];
            let implied = |need: usize| list.iter().any(|other| ancestors.has(*other, need));
            for need in list.iter().filter(|need| !implied(**need)) {
                graph.add_edge(NodeIndex::new(*need), NodeIndex::new(*at), ());
            }
        }
        let order = order.into_iter().map(StepIndex).collect();
        Ok(Self { graph, order, ancestors, verdict: Verdict::default() })
    }

    /// No step: observed is desired.
    pub fn is_empty(&self) -> bool {
        self.graph.node_count() == 0
    }

    /// Number of steps.
    pub fn len(&self) -> usize {
        self.graph.node_count()
    }

    /// What is proven about it.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// Steps in an order that the DAG allows, by id where it leaves a choice.
    pub fn steps(&self) -> Vec<(StepIndex, &Step)> {
        self.order.iter().map(|index| (*index, &self.graph[NodeIndex::new(index.0)])).collect()
    }

    /// One step.
    pub fn step(&self, index: StepIndex) -> Option<&Step> {
        self.graph.node_weight(NodeIndex::new(index.0))
    }

    /// The step with this id.
    pub fn find(&self, id: &str) -> Option<StepIndex> {
        let found = self.graph.node_weights().position(|step| step.id == id);
        found.map(StepIndex)
    }

    /// Steps that must be done right before this one, without those that another of them waits for anyway.
    pub fn needs(&self, index: StepIndex) -> Vec<StepIndex> {
        self.neighbors(index, Direction::Incoming)
    }

    /// Steps that wait for this one directly.
    pub fn feeds(&self, index: StepIndex) -> Vec<StepIndex> {
        self.neighbors(index, Direction::Outgoing)
    }

    /// Whether `later` waits for `earlier`, directly or not.
    pub fn waits_for(&self, later: StepIndex, earlier: StepIndex) -> bool {
        self.ancestors.has(later.0, earlier.0)
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

    /// The steps that `keep` names, without those that wait for one that it does not.
    pub(super) fn restricted(&self, keep: impl Fn(&Action) -> bool) -> Result<Self, PlanError> {
        let kept: Vec<(usize, &Step)> = (0..self.len())
            .filter(|at| {
                let waits = |other: &usize| *other == *at || self.ancestors.has(*at, *other);
                let mut needed = (0..self.len()).filter(waits);
                needed.all(|at| keep(&self.graph[NodeIndex::new(at)].action))
            })
            .map(|at| (at, &self.graph[NodeIndex::new(at)]))
            .collect();
        let place = |index: StepIndex| kept.iter().position(|(at, _)| *at == index.0);
        let edges: Vec<(usize, usize)> = kept
            .iter()
            .flat_map(|(at, _)| {
                let to = place(StepIndex(*at));
                self.needs(StepIndex(*at))
                    .into_iter()
                    .filter_map(move |from| Some((place(from)?, to?)))
            })
            .collect();
        Self::new(kept.iter().map(|(_, step)| (*step).clone()).collect(), edges)
    }

    /// Whether a step with this id is there.
    pub fn has(&self, id: &str) -> bool {
        self.find(id).is_some()
    }

    /// Whether the plan uploads or refers to the host manager's hash.
    pub fn uploads(&self, artifact: &Artifact) -> bool {
        self.graph.node_weights().any(
            |step| matches!(&step.action, Action::UploadArtifact { artifact: a } if a == artifact),
        )
    }
}

/// For each step, all steps that must be done before it: one bit each.
#[derive(Clone, Debug, Default)]
struct Ancestors {
    words: usize,
    bits: Vec<u64>,
}

impl Ancestors {
    fn new(needs: &[Vec<usize>], order: &[usize]) -> Self {
        let words = needs.len().div_ceil(64);
        let mut bits = vec![0_u64; words * needs.len()];
        for at in order {
            for need in &needs[*at] {
                for word in 0..words {
                    let inherited = bits[need * words + word];
                    bits[at * words + word] |= inherited;
                }
                bits[at * words + need / 64] |= 1 << (need % 64);
            }
        }
        Self { words, bits }
    }

    fn has(&self, later: usize, earlier: usize) -> bool {
        let word = self.bits.get(later * self.words + earlier / 64);
        word.is_some_and(|word| word & (1 << (earlier % 64)) != 0)
    }
}

/// By number where the edges leave a choice; `None` when they lead in a circle.
fn topological(needs: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut open: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut feeds: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    for (at, list) in needs.iter().enumerate() {
        for need in list {
            feeds[*need].push(at);
        }
    }
    let mut ready: BTreeSet<usize> = (0..needs.len()).filter(|at| open[*at] == 0).collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(at) = ready.pop_first() {
        order.push(at);
        for next in &feeds[at] {
            open[*next] -= 1;
            if open[*next] == 0 {
                ready.insert(*next);
            }
        }
    }
    (order.len() == needs.len()).then_some(order)
}

fn cycle(mut graph: DiGraph<Step, ()>, needs: &[Vec<usize>]) -> PlanError {
    for (at, list) in needs.iter().enumerate() {
        for need in list {
            graph.add_edge(NodeIndex::new(*need), NodeIndex::new(at), ());
        }
    }
    let step = toposort(&graph, None).err().map(|cycle| graph[cycle.node_id()].id.clone());
    PlanError::Cycle { step: step.unwrap_or_default() }
}

/// A step of a plan in the making.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StepRef(usize);

/// A plan in the making.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) steps: Vec<Step>,
    by_id: HashMap<String, usize>,
    forgotten: BTreeSet<usize>,
    edges: Vec<(usize, usize)>,
}

impl Draft {
    pub(super) fn add(
        &mut self,
        id: impl Into<String>,
        action: Action,
        slot: Option<u32>,
    ) -> StepRef {
        let id = id.into();
        let at = self.steps.len();
        self.by_id.insert(id.clone(), at);
        self.steps.push(Step { id, action, slot });
        StepRef(at)
    }

    /// Takes a step out again that has no edges yet.
    pub(super) fn forget(&mut self, id: &str) {
        if let Some(at) = self.by_id.remove(id) {
            self.forgotten.insert(at);
        }
    }

    /// `after` waits for `before`.
    pub(super) fn edge(&mut self, before: StepRef, after: StepRef) {
        if before != after {
            self.edges.push((before.0, after.0));
        }
    }

    /// `after` waits for the step with this id; one that is not in the plan says nothing.
    pub(super) fn edge_from(&mut self, before: &str, after: StepRef) {
        if let Some(before) = self.find(before) {
            self.edge(before, after);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub(super) fn find(&self, id: &str) -> Option<StepRef> {
        self.by_id.get(id).copied().map(StepRef)
    }

    /// Every step but `except` is done before `last`.
    pub(super) fn last(&mut self, last: StepRef, except: &[Option<StepRef>]) {
        for at in 0..self.steps.len() {
            if !except.contains(&Some(StepRef(at))) {
                self.edge(StepRef(at), last);
            }
        }
    }

    pub(super) fn refs(&self) -> impl Iterator<Item = (StepRef, &Step)> {
        self.steps.iter().enumerate().map(|(at, step)| (StepRef(at), step))
    }

    pub(super) fn finish(self) -> Result<Plan, PlanError> {
        if self.forgotten.is_empty() {
            return Plan::new(self.steps, self.edges);
        }
        let kept: Vec<Option<usize>> = (0..self.steps.len())
            .scan(0, |next, at| {
                let place = (!self.forgotten.contains(&at)).then_some(*next);
                *next += usize::from(place.is_some());
                Some(place)
            })
            .collect();
        let edges = self.edges.iter().filter_map(|(a, b)| Some((kept[*a]?, kept[*b]?)));
        let edges: Vec<_> = edges.collect();
        let steps = self.steps.into_iter().zip(&kept).filter_map(|(step, at)| at.map(|_| step));
        Plan::new(steps.collect(), edges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(id: &str) -> Step {
        let action = Action::UploadArtifact { artifact: Artifact::HostManager };
        Step { id: id.to_owned(), action, slot: None }
    }

    #[test]
    fn implied_edges_are_left_out_and_the_order_is_by_id() {
        let steps = ["c", "b", "a", "d"].map(step).to_vec();
        // a -> b -> d, a -> d (implied), c alone.
        let plan = Plan::new(steps, [(2, 1), (1, 3), (2, 3)]).unwrap();
        let ids: Vec<&str> = plan.steps().iter().map(|(_, step)| step.id.as_str()).collect();
        assert_eq!(ids, ["a", "b", "c", "d"]);
        let (a, b, d) = (plan.find("a").unwrap(), plan.find("b").unwrap(), plan.find("d").unwrap());
        assert_eq!(plan.needs(d), [b]);
        assert!(plan.waits_for(d, a) && !plan.waits_for(a, d));
    }

    #[test]
    fn a_circle_and_a_second_step_of_the_same_name_are_refused() {
        let circle = Plan::new(["a", "b"].map(step).to_vec(), [(0, 1), (1, 0)]).unwrap_err();
        assert!(matches!(circle, PlanError::Cycle { .. }));
        let twice = Plan::new(["a", "a"].map(step).to_vec(), []).unwrap_err();
        assert_eq!(twice, PlanError::Twice { step: "a".into() });
    }
}
