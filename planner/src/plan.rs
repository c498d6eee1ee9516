//! A plan: an immutable DAG of steps from observed to desired. The executor gets no choices.

mod build;
mod destroy;
mod error;
mod foundation;
mod graph;
mod projection;
mod situation;
mod step;
mod verdict;

pub(crate) use build::look::has_failed;
pub use build::{MAX_SLOTS, SERVER, plan, private_way, survey};
pub use destroy::{in_the_way_of_the_next, plan_destroy};
pub use error::{Foreign, Impossible, PlanError};
pub use graph::{Plan, StepIndex};
pub use situation::Situation;
pub use step::{Action, Artifact, Secret, SecretKind, Step, Voter};
pub use verdict::{Standing, Verdict, Violation, verdict};
