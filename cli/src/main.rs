//! `hcs`: the plan engine without Terraform, what a cluster says of itself, and what its servers are asked to do.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
// A command-line tool talks to its user on the terminal.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod adopt;
mod doctor;
mod explain;
mod input;
mod plan;
mod requests;
mod rotate;
mod snapshots;
mod status;
mod support;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use doctor::Patient;
use hcs_planner::portal::parse_cluster_reference;
use hcs_planner::rotation::Rotated;
use input::{CliError, Files};
use status::Place;

/// A plan is thousands of small values that live for milliseconds: `cargo xtask bench` shows what the allocator is worth.
#[cfg(not(windows))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Plans Consul clusters on Azure without touching Azure, tells how one is, and asks its servers for what is due once.
#[derive(Parser)]
#[command(
    name = "hcs",
    version,
    after_help = "Exit codes: 0 nothing to do, 2 changes, 1 error.\n\n\
                  The declared cluster is a cluster.json, or a Terraform plan as JSON (terraform \
                  show -json FILE) that holds one hcs_cluster.\n\n\
                  A cluster.json holds at least name, resource_group_name, location and \
                  subscription_id; everything else has the provider's defaults:\n\n  \
                  { \"name\": \"demo\", \"resource_group_name\": \"rg\", \"location\": \
                  \"westeurope\",\n    \"subscription_id\": \
                  \"00000000-0000-0000-0000-000000000000\", \"server_count\": 5 }"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shows what an apply would do, step by step, and what is proven about it.
    #[command(after_help = "Examples:\n  \
        hcs plan -f cluster.json                         from nothing\n  \
        hcs plan -f cluster.json --observed world.json   from what Azure holds\n  \
        terraform show -json tfplan > plan.json\n  \
        hcs plan -f plan.json                            what Terraform is about to do\n  \
        hcs plan -f plan.json --lose-zone 2              what breaks if zone 2 goes\n  \
        hcs plan -f plan.json --cost                     about what it costs, before and after\n  \
        hcs plan -f plan.json --format html > plan.html  as a page")]
    Plan {
        #[command(flatten)]
        input: InputFiles,
        /// Say what breaks when this zone is gone, now and while the plan runs, instead of planning.
        #[arg(long, value_name = "ZONE")]
        lose_zone: Option<String>,
        /// Say about what the cluster costs a month, before and after, instead of planning.
        #[arg(long, conflicts_with = "lose_zone")]
        cost: bool,
        /// Form of the answer.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Draws the plan: a digraph for Graphviz, or a page for a browser.
    Graph {
        #[command(flatten)]
        input: InputFiles,
        /// Form of the drawing.
        #[arg(long, value_enum, default_value_t = Drawing::Dot)]
        format: Drawing,
    },
    /// Tells one step of a plan: what it does, why, what it waits for and what waits for it.
    Explain {
        /// The step's id as `hcs plan` shows it, e.g. `create server_0`.
        step: String,
        #[command(flatten)]
        input: InputFiles,
    },
    /// Tells how a cluster is, from its blobs: servers, certificates, policies, the run that works and the last failure.
    #[command(
        after_help = "Credentials are those of the provider: ARM_SUBSCRIPTION_ID, ARM_TENANT_ID, ARM_CLIENT_ID, \
        ... or the Azure CLI.\nExit codes: 0 all is well, 2 something needs attention, 1 error.\n\nExamples:\n  \
        hcs status 00000000-0000-0000-0000-000000000000/rg/demo\n  \
        hcs status --blob-endpoint https://hcs4d2ee040945e.blob.core.windows.net/ --format json"
    )]
    Status {
        /// The managed group's id (`hcs_cluster.id`), or subscription/resource-group/name.
        #[arg(required_unless_present = "blob_endpoint")]
        cluster: Option<String>,
        /// Where the cluster's blobs are; Resource Manager is not asked then.
        #[arg(long, value_name = "URL", conflicts_with = "cluster")]
        blob_endpoint: Option<String>,
        /// Form of the answer.
        #[arg(long, value_enum, default_value_t = Form::Text)]
        format: Form,
    },
    /// Looks for what keeps this machine and this caller from making or changing a cluster, before an apply finds it:
    /// credentials, clock, resource providers, sizes, quota, rights, the way to blobs and programs. Only reads.
    #[command(
        after_help = "Credentials are those of the provider: ARM_SUBSCRIPTION_ID, ARM_TENANT_ID, ARM_CLIENT_ID, \
        ... or the Azure CLI.\nExit codes: 0 no problem, 2 a problem, 1 error.\n\nExamples:\n  \
        hcs doctor                                       this machine and its credentials\n  \
        hcs doctor -f cluster.json                       before the first apply\n  \
        hcs doctor 00000000-0000-0000-0000-000000000000/rg/demo\n  \
        hcs doctor 00000000-0000-0000-0000-000000000000/rg/demo -f plan.json --format json"
    )]
    Doctor {
        /// The managed group's id (`hcs_cluster.id`), or subscription/resource-group/name.
        cluster: Option<String>,
        /// The declared cluster, or a Terraform plan as JSON.
        #[arg(short, long = "file", value_name = "CLUSTER.JSON")]
        file: Option<PathBuf>,
        /// Which cluster of a Terraform plan, where it holds several, e.g. `hcs_cluster.main`.
        #[arg(long, value_name = "ADDRESS", requires = "file")]
        address: Option<String>,
        /// Form of the answer.
        #[arg(long, value_enum, default_value_t = Form::Text)]
        format: Form,
    },
    /// Asks a cluster's servers for other versions of its secrets, as another word in `rotation_triggers` does; nothing else
    /// is touched, and the plan stays empty.
    #[command(
        after_help = "Needs Storage Blob Data Contributor on the cluster's storage account.\n\nExamples:\n  \
        hcs rotate 00000000-0000-0000-0000-000000000000/rg/demo management_token\n  \
        hcs rotate 00000000-0000-0000-0000-000000000000/rg/demo gossip_key agent_tokens"
    )]
    Rotate {
        /// The managed group's id (`hcs_cluster.id`), or subscription/resource-group/name.
        cluster: String,
        /// Which secrets: `gossip_key`, `agent_tokens`, `management_token`, `client_token`, `certificate_authority`.
        #[arg(required = true, value_name = "SECRET", value_parser = secret)]
        secrets: Vec<Rotated>,
    },
    /// Snapshots of a cluster: takes one now, puts one back, or lists what there is.
    Snapshots {
        #[command(subcommand)]
        command: Snapshots,
    },
    /// Has servers make other certificates now, one server after the other, without a restart.
    #[command(
        after_help = "Needs Storage Blob Data Contributor on the container requests.\n\nExamples:\n  \
        hcs renew 00000000-0000-0000-0000-000000000000/rg/demo\n  \
        hcs renew 00000000-0000-0000-0000-000000000000/rg/demo --server 2"
    )]
    Renew {
        /// The managed group's id (`hcs_cluster.id`), or subscription/resource-group/name.
        cluster: String,
        /// Which server, by its slot; all of them where none is named.
        #[arg(long = "server", value_name = "SLOT")]
        servers: Vec<u32>,
    },
    /// Has the leader hand over to another server: before work on its machine, say. Consul 1.15 and newer can.
    TransferLeader {
        /// The managed group's id (`hcs_cluster.id`), or subscription/resource-group/name.
        cluster: String,
    },
    /// The last upgrade of Consul: takes it back where it has not ended.
    Upgrade {
        #[command(subcommand)]
        command: Upgrade,
    },
    /// Collects what somebody who helps wants to see into one archive: documents and status of the cluster, and of each server
    /// its journals, Consul's own words and its disk. Nothing secret is in it.
    #[command(
        after_help = "Needs Storage Blob Data Contributor on the container requests, and Reader on the others.\n\
        A server that does not answer is named in the archive, and the rest comes all the same.\n\nExample:\n  \
        hcs support 00000000-0000-0000-0000-000000000000/rg/demo"
    )]
    Support {
        /// The managed group's id (`hcs_cluster.id`), or subscription/resource-group/name.
        cluster: String,
        /// The archive [default: hcs-support-<cluster>-<time>.tar.gz here]
        #[arg(short, long = "out", value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Takes over from servers of Consul that somebody else made: the cluster's own join them, one after the other, and then
    /// those of before go, one after the other. Data, gossip key and authority stay.
    Adopt {
        #[command(subcommand)]
        command: Adopt,
    },
    /// Prints the completions of a shell.
    Completions {
        /// Which one.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

#[derive(Subcommand)]
enum Adopt {
    /// Says what is there, and what keeps it from being adopted. Only reads.
    #[command(after_help = ADOPT_HELP)]
    Report {
        #[command(flatten)]
        wanted: AdoptInput,
        /// Form of the answer.
        #[arg(long, value_enum, default_value_t = Form::Text)]
        format: Form,
    },
    /// Makes the cluster's storage account, and gives it gossip key and authority of before and a management token of its
    /// own. The next `terraform apply` makes servers that join. Cut off, it goes on when it is called again.
    #[command(after_help = ADOPT_HELP)]
    Prepare {
        #[command(flatten)]
        wanted: AdoptInput,
    },
    /// Stops the servers of before, one after the other, each when all are well, whoever leads last; takes each out of Raft
    /// and gossip. Deletes nothing. Cut off, it goes on when it is called again.
    #[command(
        after_help = "Needs Storage Blob Data Contributor on the cluster's storage account, Reader on its managed group, \
        and the right to stop the machines of before (Virtual Machine Contributor).\n\nExample:\n  \
        hcs adopt finish 00000000-0000-0000-0000-000000000000/rg/demo"
    )]
    Finish {
        /// The managed group's id (`hcs_cluster.id`), or subscription/resource-group/name.
        cluster: String,
    },
    /// Goes back, as long as none of the servers of before has gone: the cluster's own leave, one after the other. Then
    /// `terraform destroy` removes them.
    #[command(
        after_help = "Needs Storage Blob Data Contributor on the cluster's storage account, Reader on its managed group \
        and on the machines of before."
    )]
    Undo {
        /// The managed group's id (`hcs_cluster.id`), or subscription/resource-group/name.
        cluster: String,
    },
}

const ADOPT_HELP: &str = "Consul of before is asked as `consul` itself asks it: CONSUL_HTTP_ADDR (https), CONSUL_HTTP_TOKEN \
    or CONSUL_HTTP_TOKEN_FILE with the policy global-management, and where needed CONSUL_TLS_SERVER_NAME, \
    CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY. Azure's credentials and subscription come from the ARM_* variables or the Azure CLI.\n\
    Exit codes: 0 it may be adopted, 2 something blocks, 1 error.\n\nExample:\n  \
    terraform plan -out tfplan && terraform show -json tfplan > plan.json\n  \
    hcs adopt report -f plan.json --ca-file consul-agent-ca.pem --ca-key-file consul-agent-ca-key.pem \\\n    \
    --from /subscriptions/.../virtualMachineScaleSets/consul\n  \
    hcs adopt prepare ...                            the same arguments\n  \
    terraform apply\n  \
    hcs adopt finish 00000000-0000-0000-0000-000000000000/rg/demo";

/// What is to be adopted, and as what.
#[derive(clap::Args)]
struct AdoptInput {
    /// The declared cluster, or a Terraform plan as JSON.
    #[arg(short, long = "file", value_name = "CLUSTER.JSON")]
    file: PathBuf,
    /// Which cluster of a Terraform plan, where it holds several, e.g. `hcs_cluster.main`.
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// A scale set or a virtual machine of the servers of before, by its id; as often as there are.
    #[arg(long, value_name = "ID", required = true)]
    from: Vec<String>,
    /// The authority that signed the certificates of the servers of before, PEM.
    #[arg(long, value_name = "FILE")]
    ca_file: PathBuf,
    /// Its private key, PEM.
    #[arg(long, value_name = "FILE")]
    ca_key_file: PathBuf,
}

impl AdoptInput {
    fn wanted(&self) -> adopt::Wanted<'_> {
        adopt::Wanted {
            declared: Files {
                declared: &self.file,
                observed: None,
                address: self.address.as_deref(),
            },
            from: &self.from,
            ca_file: &self.ca_file,
            ca_key_file: &self.ca_key_file,
        }
    }
}

#[derive(Subcommand)]
enum Upgrade {
    /// Goes back to the Consul that ran before, as long as no server of the new version has led. One server after the other;
    /// `hcs status` tells how far it is.
    #[command(after_help = "Needs Storage Blob Data Contributor on the container requests.")]
    TakeBack {
        /// The managed group's id (`hcs_cluster.id`), or subscription/resource-group/name.
        cluster: String,
    },
}

#[derive(Subcommand)]
enum Snapshots {
    /// Takes one now, verified, beside those of policies, which never prune it.
    #[command(after_help = "Needs Storage Blob Data Contributor on the container requests.")]
    Take {
        /// The managed group's id (`hcs_cluster.id`), or subscription/resource-group/name.
        cluster: String,
        /// Form of the answer.
        #[arg(long, value_enum, default_value_t = Form::Text)]
        format: Form,
    },
    /// Puts the whole state of Consul back to one of them, after a snapshot of what is there. The leading server does it, once,
    /// while no apply works; tokens of the servers that the snapshot does not know are made again.
    #[command(
        after_help = "Needs Storage Blob Data Contributor on the container requests.\n\nExample:\n  \
        hcs snapshots restore 00000000-0000-0000-0000-000000000000/rg/demo hourly/20261129T020000Z.snap --yes"
    )]
    Restore {
        /// The managed group's id (`hcs_cluster.id`), or subscription/resource-group/name.
        cluster: String,
        /// Its name, as `hcs snapshots list` shows it.
        snapshot: String,
        /// What was written since is meant to be gone.
        #[arg(long)]
        yes: bool,
        /// Restores it at once: nobody has seen a Consul take it.
        #[arg(long)]
        without_trial: bool,
    },
    /// Says whether one is whole, and whether Consul can restore it: archive, checksums, and every record of the state.
    #[command(
        after_help = "Examples:\n  hcs snapshots verify backup.snap --consul-version 1.21.5\n  \
        hcs snapshots verify hourly/20261129T020000Z.snap --cluster 00000000-0000-0000-0000-000000000000/rg/demo"
    )]
    Verify {
        /// A file on this machine, which needs no credentials; or, with --cluster, a name as `hcs snapshots list` shows it.
        snapshot: String,
        /// The managed group's id (`hcs_cluster.id`), or subscription/resource-group/name.
        #[arg(long)]
        cluster: Option<String>,
        /// The Consul that is to restore it.
        #[arg(long = "consul-version")]
        version: Option<semver::Version>,
        /// Form of the answer.
        #[arg(long, value_enum, default_value_t = Form::Text)]
        format: Form,
    },
    /// Copies one that is whole to a file that only you may read, or into the account of another cluster.
    #[command(group = clap::ArgGroup::new("to").required(true))]
    Copy {
        /// The managed group's id (`hcs_cluster.id`), or subscription/resource-group/name.
        cluster: String,
        /// Its name, as `hcs snapshots list` shows it.
        snapshot: String,
        /// The file, which must not be there yet.
        #[arg(long, group = "to")]
        to_file: Option<PathBuf>,
        /// The other cluster.
        #[arg(long, group = "to")]
        to_cluster: Option<String>,
    },
    /// Brings a snapshot from this machine into the account of a cluster, from where it can be restored.
    #[command(after_help = "Needs Storage Blob Data Contributor on the container snapshots.")]
    Upload {
        /// The managed group's id (`hcs_cluster.id`), or subscription/resource-group/name.
        cluster: String,
        /// The archive.
        file: PathBuf,
    },
    /// Lists all that the account holds, the newest last.
    List {
        /// The managed group's id (`hcs_cluster.id`), or subscription/resource-group/name.
        cluster: String,
        /// Form of the answer.
        #[arg(long, value_enum, default_value_t = Form::Text)]
        format: Form,
    },
}

/// What is declared, and what is there.
#[derive(clap::Args)]
struct InputFiles {
    /// The declared cluster, or a Terraform plan as JSON.
    #[arg(short, long = "file", value_name = "CLUSTER.JSON")]
    file: PathBuf,
    /// What Azure holds. Left out: nothing, or for a Terraform plan what its state declares.
    #[arg(long, value_name = "WORLD.JSON")]
    observed: Option<PathBuf>,
    /// Which cluster of a Terraform plan, where it holds several, e.g. `hcs_cluster.main`.
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
}

impl InputFiles {
    fn files(&self) -> Files<'_> {
        let (observed, address) = (self.observed.as_deref(), self.address.as_deref());
        Files { declared: &self.file, observed, address }
    }
}

/// Form of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs; the shape is stable.
    Json,
    /// For Graphviz.
    Dot,
    /// A page for a browser.
    Html,
}

/// Form of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people.
    Text,
    /// For programs; the shape is stable.
    Json,
}

/// Form of a drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Drawing {
    /// For Graphviz.
    Dot,
    /// A page for a browser.
    Html,
}

impl From<Drawing> for Format {
    fn from(drawing: Drawing) -> Self {
        match drawing {
            Drawing::Dot => Self::Dot,
            Drawing::Html => Self::Html,
        }
    }
}

fn secret(word: &str) -> Result<Rotated, String> {
    let words = Rotated::ALL.map(Rotated::as_str).join(", ");
    Rotated::of(word).ok_or_else(|| format!("it is one of {words}"))
}

fn place(cluster: Option<&str>, blob_endpoint: Option<String>) -> Result<Place, CliError> {
    match (blob_endpoint, cluster) {
        (Some(endpoint), _) => Ok(Place::Endpoint(endpoint)),
        (None, cluster) => parse_cluster_reference(cluster.unwrap_or_default())
            .map(Place::Cluster)
            .map_err(|reason| CliError::Azure { reason }),
    }
}

fn adoption(command: &Adopt) -> Result<plan::Answer, CliError> {
    match command {
        Adopt::Report { wanted, format } => adopt::report(&wanted.wanted(), *format == Form::Json),
        Adopt::Prepare { wanted } => adopt::prepare(&wanted.wanted()),
        Adopt::Finish { cluster } => {
            place(Some(cluster), None).and_then(|place| adopt::finish(&place))
        }
        Adopt::Undo { cluster } => place(Some(cluster), None).and_then(|place| adopt::undo(&place)),
    }
}

fn main() -> ExitCode {
    let answer = match Arguments::parse().command {
        Command::Plan { input, lose_zone: Some(zone), .. } => {
            plan::lose_zone(&input.files(), &zone)
        }
        Command::Plan { input, cost: true, .. } => plan::cost(&input.files()),
        Command::Plan { input, format, .. } => plan::plan(&input.files(), format),
        Command::Graph { input, format } => plan::plan(&input.files(), format.into()),
        Command::Explain { step, input } => explain::explain(&input.files(), &step),
        Command::Status { cluster, blob_endpoint, format } => {
            match place(cluster.as_deref(), blob_endpoint) {
                Ok(place) => status::status(&place, format == Form::Json),
                Err(error) => Err(error),
            }
        }
        Command::Doctor { cluster, file, address, format } => {
            let id = cluster.as_deref().map(parse_cluster_reference).transpose();
            let id = id.map_err(|reason| CliError::Azure { reason });
            let declared = file.as_deref().map(|declared| Files {
                declared,
                observed: None,
                address: address.as_deref(),
            });
            id.and_then(|cluster| {
                doctor::doctor(&Patient { cluster, declared }, format == Form::Json)
            })
        }
        Command::Rotate { cluster, secrets } => {
            place(Some(&cluster), None).and_then(|place| rotate::rotate(&place, &secrets))
        }
        Command::Snapshots { command: Snapshots::Take { cluster, format } } => {
            let place = place(Some(&cluster), None);
            place.and_then(|place| snapshots::take_snapshot(&place, format == Form::Json))
        }
        Command::Snapshots {
            command: Snapshots::Restore { cluster, snapshot, yes, without_trial },
        } => {
            let place = place(Some(&cluster), None);
            place.and_then(|place| snapshots::restore(&place, &snapshot, yes, !without_trial))
        }
        Command::Snapshots { command: Snapshots::List { cluster, format } } => {
            let place = place(Some(&cluster), None);
            place.and_then(|place| snapshots::list_snapshots(&place, format == Form::Json))
        }
        Command::Snapshots {
            command: Snapshots::Verify { snapshot, cluster, version, format },
        } => {
            let (version, as_json) = (version.as_ref(), format == Form::Json);
            match cluster {
                None => snapshots::verify_file(Path::new(&snapshot), version, as_json),
                Some(cluster) => place(Some(&cluster), None).and_then(|place| {
                    snapshots::verify_stored(&place, &snapshot, version, as_json)
                }),
            }
        }
        Command::Snapshots {
            command: Snapshots::Copy { cluster, snapshot, to_file, to_cluster },
        } => {
            let to = match (to_file, to_cluster) {
                (Some(file), _) => Ok(snapshots::Copy::File(file)),
                (None, other) => place(other.as_deref(), None).map(snapshots::Copy::Cluster),
            };
            let from = place(Some(&cluster), None);
            from.and_then(|from| snapshots::copy(&from, &snapshot, &to?))
        }
        Command::Snapshots { command: Snapshots::Upload { cluster, file } } => {
            place(Some(&cluster), None).and_then(|place| snapshots::upload(&place, &file))
        }
        Command::Renew { cluster, servers } => {
            place(Some(&cluster), None).and_then(|place| requests::renew(&place, &servers))
        }
        Command::TransferLeader { cluster } => {
            place(Some(&cluster), None).and_then(|place| requests::transfer_leader(&place))
        }
        Command::Upgrade { command: Upgrade::TakeBack { cluster } } => {
            place(Some(&cluster), None).and_then(|place| requests::take_back(&place))
        }
        Command::Support { cluster, out } => {
            place(Some(&cluster), None).and_then(|place| support::collect(&place, out.as_deref()))
        }
        Command::Adopt { command } => adoption(&command),
        Command::Completions { shell } => {
            let mut command = Arguments::command();
            clap_complete::generate(shell, &mut command, "hcs", &mut std::io::stdout());
            return ExitCode::SUCCESS;
        }
    };
    match answer {
        Ok(answer) => {
            print!("{}", answer.text);
            ExitCode::from(if answer.changes { 2 } else { 0 })
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
