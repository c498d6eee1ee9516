//! Data source `hcs_zones`: where a region offers a VM size to this subscription.

use std::collections::BTreeMap;

use hcs_planner::rules;
use hcs_planner::spec::defaults;
use tfplugin::{Attr, Context, Diagnostic, Diagnostics, Model, TypedDataSource, async_trait};

use crate::client::Client;
use crate::cluster::no_size;

/// The zones in which a region offers a VM size to this subscription, and the data centres behind them: what `hcs_cluster`
/// takes for `zones` where nothing is said. Logical zones of two subscriptions are not the same; physical ones are.
#[derive(Model)]
pub(crate) struct ZonesModel {
    /// Azure region.
    #[tf(required)]
    location: Attr<String>,
    /// VM size; default `Standard_D2s_v5`.
    #[tf(optional, computed)]
    vm_size: Attr<String>,
    /// Zones that offer it, sorted; empty where the region has none.
    #[tf(computed)]
    zones: Attr<Vec<String>>,
    /// The data centre behind each of them.
    #[tf(computed)]
    physical_zones: Attr<BTreeMap<String, String>>,
}

/// The data source.
pub(crate) struct ZonesDataSource;

#[async_trait]
impl TypedDataSource for ZonesDataSource {
    type Model = ZonesModel;

    fn type_name(&self) -> &'static str {
        "hcs_zones"
    }

    async fn read(&self, ctx: &Context, config: ZonesModel) -> Result<ZonesModel, Diagnostics> {
        let client = ctx.data::<Client>()?;
        let location = rules::location(config.location.require(ZonesModel::LOCATION)?);
        let size = config.vm_size.known().cloned().unwrap_or_else(|| defaults::VM_SIZE.to_owned());
        let what = format!("the offer of region {location}");
        let region = client.region(&client.arm(&ctx.cancel), &location).await;
        let region = region.map_err(|error| crate::diagnostics::read(&what, &error))?;
        let region = region.map_err(|others| {
            let detail = format!(
                "This subscription has no region {location:?}. It has: {}.",
                others.join(", ")
            );
            Diagnostic::error("Unknown region", detail).at(ZonesModel::LOCATION)
        })?;
        let zones = region.zones_of(&size).map_err(|reason| {
            let detail = no_size(&location, &size, &reason, &region.alternatives());
            Diagnostic::error("VM size is not available", detail).at(ZonesModel::VM_SIZE)
        })?;
        let physical: BTreeMap<String, String> = zones
            .iter()
            .filter_map(|zone| Some((zone.clone(), region.physical_zone(zone)?.to_owned())))
            .collect();
        Ok(ZonesModel {
            location: config.location,
            vm_size: size.into(),
            zones: zones.to_vec().into(),
            physical_zones: physical.into(),
        })
    }
}
