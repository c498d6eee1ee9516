//! What a claim of a cluster needs beside a store: nobody who answers, and the inputs that never change.

use async_trait::async_trait;
use hcs_engine::cloud::{ArmRequest, ArmResponse, Cloud, TransportError};
use hcs_planner::ownership::FixedInputs;

/// A Resource Manager that is asked nothing.
pub(crate) struct Nowhere;

#[async_trait]
impl Cloud for Nowhere {
    async fn send(&self, _: &ArmRequest) -> Result<ArmResponse, TransportError> {
        panic!("nobody asks Resource Manager here")
    }

    async fn caller_object_id(&self) -> Result<String, TransportError> {
        Ok("caller".to_owned())
    }
}

/// What a cluster of these tests was made with.
pub(crate) fn fixed() -> FixedInputs {
    FixedInputs {
        name: "demo".into(),
        resource_group_name: "rg".into(),
        managed_resource_group_name: "rg-mrg-demo".into(),
        location: "westeurope".into(),
        consul_datacenter: "demo".into(),
        vnet_cidr: Some("10.0.0.0/24".into()),
        subnet_id: None,
        private_dns_zone_id: None,
    }
}
