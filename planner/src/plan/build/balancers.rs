//! Addresses of the balancers, which servers put into their certificates: a client may dial an address, not a name.

use serde_json::{Value, json};

use super::Planner;
use super::look::is_going;
use crate::desired::balancer_addresses;
use crate::plan::graph::StepRef;
use crate::reference;

/// The addresses of a plan's balancers.
#[derive(Debug, Default)]
pub(super) struct Balancers {
    /// Those that are there.
    pub(super) known: Vec<String>,
    /// All of them, with references to those that come.
    pub(super) all: Vec<Value>,
    /// The steps that bring the others.
    pub(super) coming: Vec<StepRef>,
}

impl Planner<'_> {
    /// One that is there and has no address is left out: the next plan meets it with one.
    pub(super) fn balancers(&self) -> Balancers {
        let mut balancers = Balancers::default();
        for (name, pointer) in balancer_addresses() {
            let Some(object) = self.desired.objects.get(name) else { continue };
            // One that is being deleted comes back with another address.
            let stays = self.have(object).filter(|body| !is_going(body));
            let observed = stays.and_then(|body| body.pointer(pointer)?.as_str());
            match (observed, self.written(name)) {
                (Some(address), _) => {
                    balancers.known.push(address.to_owned());
                    balancers.all.push(json!(address));
                }
                (None, Some(step)) => {
                    balancers.all.push(reference::output(name, pointer));
                    balancers.coming.push(step);
                }
                (None, None) => {}
            }
        }
        balancers
    }
}
