//! What a cluster costs a month, about. For people; nothing is decided by it.

use std::fmt::Write as _;
use std::sync::LazyLock;

use crate::arm::Kind;
use crate::desired::{Desired, object};
use crate::disks::DataDiskType;
use crate::spec::ClusterSpec;

const TABLE: &str = include_str!("../data/prices.tsv");
/// As Azure's own calculator has it.
const HOURS_A_MONTH: f64 = 730.0;
/// Each server says how it is every five seconds.
const STATUSES_A_MONTH: f64 = HOURS_A_MONTH * 720.0;

/// A price of the table: kind, name, unit, US dollars.
type Price = (&'static str, &'static str, &'static str, f64);

static PRICES: LazyLock<Vec<Price>> = LazyLock::new(|| {
    let price = |line: &'static str| {
        let mut parts = line.split('\t');
        let mut next = || parts.next();
        Some((next()?, next()?, next()?, next()?.parse().ok()?))
    };
    TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(price).collect()
});

/// One thing that is paid for.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// What it is.
    pub name: &'static str,
    /// How many, of what.
    pub detail: String,
    /// US dollars a month; none where the table has no price.
    pub monthly_usd: Option<f64>,
}

/// Everything that is paid for by the month, without what depends on use.
pub fn items(spec: &ClusterSpec) -> Vec<Item> {
    let servers = f64::from(spec.server_count);
    let each = |what: &str| format!("{} x {what}", spec.server_count);
    let item = |name, detail, one: Option<f64>| Item {
        name,
        detail,
        monthly_usd: one.map(|one| one * servers),
    };
    let mut items = vec![
        item("machines", each(&spec.vm_size), monthly("machine", &spec.vm_size)),
        item(
            "OS disks",
            each(&format!("{} GiB Premium_LRS", spec.os_disk_gib)),
            disk(DataDiskType::PremiumLrs, spec.os_disk_gib),
        ),
        item(
            "data disks",
            each(&format!("{} GiB {}", spec.data_disk_gib, spec.data_disk_type.as_str())),
            disk(spec.data_disk_type, spec.data_disk_gib),
        ),
    ];
    let objects = Desired::new(spec).objects;
    for (name, kind) in [
        ("load balancers", Kind::LoadBalancer),
        ("NAT gateway", Kind::NatGateway),
        ("public addresses", Kind::PublicIpAddress),
        ("private endpoint", Kind::PrivateEndpoint),
        ("DNS zones", Kind::PrivateDnsZone),
    ] {
        let count = objects.values().filter(|object| object.kind == kind).count();
        let Ok(count) = u32::try_from(count) else { continue };
        if count > 0 {
            let one = monthly("object", kind.resource_type());
            let monthly_usd = one.map(|one| one * f64::from(count));
            items.push(Item { name, detail: count.to_string(), monthly_usd });
        }
    }
    let account = objects.get(object::STORAGE_ACCOUNT);
    let redundancy = account.and_then(|account| account.body["sku"]["name"].as_str());
    let redundancy = redundancy.unwrap_or_default();
    let writes = monthly("writes", redundancy).map(|price| price * STATUSES_A_MONTH / 10_000.0);
    items.push(item("status writes", format!("{redundancy}, every 5 s"), writes));
    items
}

/// US dollars a month, or for ten thousand.
fn monthly(kind: &str, name: &str) -> Option<f64> {
    let row = |price: &&Price| price.0 == kind && price.1.eq_ignore_ascii_case(name);
    let (_, _, unit, usd) = PRICES.iter().find(row)?;
    Some(if *unit == "hour" { usd * HOURS_A_MONTH } else { *usd })
}

/// A disk is paid for by the next larger tier, a Premium SSD v2 by the GiB.
fn disk(kind: DataDiskType, gib: u32) -> Option<f64> {
    if kind == DataDiskType::PremiumV2Lrs {
        return monthly(kind.as_str(), "gib").map(|one| one * f64::from(gib));
    }
    let tiers = PRICES.iter().filter(|price| price.0 == kind.as_str());
    let tiers = tiers.filter_map(|price| Some((price.1.parse::<u32>().ok()?, price.3)));
    let fitting = tiers.filter(|(size, _)| *size >= gib).min_by_key(|(size, _)| *size);
    fitting.map(|(_, usd)| usd)
}

/// Both declarations side by side, or one alone.
pub fn text(before: Option<&ClusterSpec>, after: &ClusterSpec) -> String {
    let (old, new) = (before.map(items).unwrap_or_default(), items(after));
    let mut names: Vec<&str> = new.iter().map(|item| item.name).collect();
    names.extend(
        old.iter().map(|item| item.name).filter(|name| !new.iter().any(|n| n.name == *name)),
    );
    let of = |items: &[Item], name: &str| items.iter().find(|item| item.name == name).cloned();
    let mut text = "About what it costs a month, in US dollars:\n\n".to_owned();
    let mut row = |name: &str, old: Option<String>, new: &str, detail: &str| {
        let old = old.map(|old| format!("{old:>10}  ->")).unwrap_or_default();
        let _ = writeln!(text, "  {}", format!("{name:<18}{old}{new:>10}  {detail}").trim_end());
    };
    for name in names {
        let (own, was) = (of(&new, name), of(&old, name));
        let detail = own.as_ref().or(was.as_ref()).map(|item| item.detail.clone());
        let was = before.map(|_| amount(was.as_ref()));
        row(name, was, &amount(own.as_ref()), &detail.unwrap_or_default());
    }
    let total = |items: &[Item]| {
        format!("{:.2}", items.iter().filter_map(|item| item.monthly_usd).sum::<f64>())
    };
    row("total", before.map(|_| total(&old)), &total(&new), "");
    if new.iter().chain(&old).any(|item| item.monthly_usd.is_none()) {
        text.push_str("\nWhat has no price here is not in the total.\n");
    }
    text.push_str(
        "\nAn estimate, by retail prices of East US, pay as you go, of November 2026: other regions and agreements differ. Not in it: \
         traffic, what snapshots take, other calls to the storage account, and a helper while servers are made anew.\n",
    );
    text
}

fn amount(item: Option<&Item>) -> String {
    match item.map(|item| item.monthly_usd) {
        None => "-".to_owned(),
        Some(None) => "?".to_owned(),
        Some(Some(usd)) => format!("{usd:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reach::OutboundType;

    fn spec() -> ClusterSpec {
        ClusterSpec::new("s", "demo", "rg", "eastus")
    }

    #[test]
    fn every_row_of_the_table_is_read() {
        let rows = TABLE.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        assert_eq!(PRICES.len(), rows.count());
    }

    #[test]
    fn three_servers_cost_what_a_calculator_says() {
        let found = text(None, &spec());
        // 3 * 0.096 * 730; 3 * P6; 3 * P4; 0.025 * 730; 0.045 * 730; 0.005 * 730.
        for line in [
            "machines              210.24  3 x Standard_D2s_v5",
            "OS disks               30.63  3 x 64 GiB Premium_LRS",
            "data disks             15.84  3 x 32 GiB Premium_LRS",
            "load balancers         18.25  1",
            "NAT gateway            32.85  1",
            "public addresses        3.65  1",
            "DNS zones               0.50  1",
            "status writes           9.86  Standard_ZRS, every 5 s",
            "total                 321.81",
        ] {
            assert!(found.contains(line), "{line}\n{found}");
        }
    }

    #[test]
    fn a_change_is_told_with_what_goes_and_what_has_no_price() {
        let mut after = spec();
        after.outbound_type = OutboundType::None;
        after.vm_size = "Standard_M416s_v2".into();
        after.data_disk_type = DataDiskType::PremiumV2Lrs;
        after.data_disk_gib = 100;
        let found = text(Some(&spec()), &after);
        for line in [
            "machines              210.24  ->         ?  3 x Standard_M416s_v2",
            "data disks             15.84  ->     24.30  3 x 100 GiB PremiumV2_LRS",
            "NAT gateway            32.85  ->         -  1",
            "What has no price here is not in the total.",
        ] {
            assert!(found.contains(line), "{line}\n{found}");
        }
    }

    #[test]
    fn a_disk_is_paid_for_by_the_next_tier() {
        for (gib, expected) in [(8, 1.20), (33, 10.21), (128, 19.71), (4096, 495.57)] {
            let found = disk(DataDiskType::PremiumLrs, gib).unwrap();
            assert!((found - expected).abs() < 1e-9, "{gib}: {found}");
        }
        assert_eq!(disk(DataDiskType::PremiumLrs, 4097), None);
    }
}
