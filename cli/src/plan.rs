//! `hcs plan`.

use std::path::Path;

use hcs_planner::names::Names;
use hcs_planner::placement::{quorum, zone_of};
use hcs_planner::{plan as planner, render};

use crate::Format;
use crate::input::{self, CliError};

/// What a command says.
pub(crate) struct Answer {
    /// Standard output.
    pub(crate) text: String,
    /// Whether there is something to do.
    pub(crate) changes: bool,
}

/// The plan from an observed world to a declared cluster.
pub(crate) fn plan(
    file: &Path,
    observed: Option<&Path>,
    format: Format,
) -> Result<Answer, CliError> {
    let spec = input::cluster(file)?;
    let observed = input::world(observed)?;
    let plan = planner::plan(&spec, &observed)?;
    let present = planner::present_servers(&Names::new(&spec), &observed);
    let verdict = planner::verdict(&plan, &present, &spec.zones);
    let text = match format {
        Format::Text => render::text(&spec, &plan, &verdict),
        Format::Json => format!("{:#}\n", render::json(&spec, &plan, &verdict)),
        Format::Dot => render::dot(&plan),
        Format::Html => render::html(&spec, &plan, &verdict),
    };
    Ok(Answer { text, changes: !plan.is_empty() })
}

/// What remains when a zone is gone.
pub(crate) fn lose_zone(file: &Path, zone: &str) -> Result<Answer, CliError> {
    let spec = input::cluster(file)?;
    if !spec.zones.iter().any(|own| own == zone) {
        let (zone, zones) = (zone.to_owned(), spec.zones.join(", "));
        return Err(CliError::NoZone { zone, zones });
    }
    let slots = 0..spec.server_count;
    let (lost, left): (Vec<u32>, Vec<u32>) =
        slots.partition(|slot| zone_of(*slot, &spec.zones) == Some(zone));
    let needed = quorum(spec.server_count);
    let names = |slots: &[u32]| {
        let names: Vec<String> =
            slots.iter().map(|slot| format!("{}-server-{slot}", spec.name)).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let count = u32::try_from(left.len()).unwrap_or(u32::MAX);
    let verdict = if count >= needed {
        format!(
            "The cluster goes on: {count} of {} voters are left, {needed} are needed. {} more may be lost.",
            spec.server_count,
            count - needed
        )
    } else {
        format!(
            "The cluster stops: {count} of {} voters are left, {needed} are needed. Reads with \
             ?stale go on; writes wait until the zone is back.",
            spec.server_count
        )
    };
    let text =
        format!("zone {zone} is gone\nlost: {}\nleft: {}\n{verdict}\n", names(&lost), names(&left));
    Ok(Answer { text, changes: count < needed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    const DEMO: &str = r#"{ "name": "demo", "resource_group_name": "rg", "location": "westeurope",
        "subscription_id": "00000000-0000-0000-0000-000000000000" }"#;

    #[test]
    fn every_format_shows_the_three_servers() {
        let file = file(DEMO);
        for format in [Format::Text, Format::Json, Format::Dot, Format::Html] {
            let answer = plan(file.path(), None, format).unwrap();
            assert!(answer.changes);
            for slot in 0..3 {
                assert!(answer.text.contains(&format!("create server_{slot}")), "{format:?}");
            }
        }
    }

    #[test]
    fn three_zones_survive_one_and_two_zones_do_not() {
        let three = file(DEMO);
        assert!(!lose_zone(three.path(), "2").unwrap().changes);
        let two = file(&DEMO.replace("\"name\"", "\"zones\": [\"1\", \"2\"], \"name\""));
        let answer = lose_zone(two.path(), "1").unwrap();
        assert!(answer.changes && answer.text.contains("The cluster stops"), "{}", answer.text);
        assert!(lose_zone(two.path(), "3").is_err());
    }

    #[test]
    fn a_wrong_file_is_told_with_its_path() {
        let broken = file("{ \"name\": 1 }");
        let error = plan(broken.path(), None, Format::Text).err().unwrap().to_string();
        assert!(error.contains("does not describe a cluster"), "{error}");
    }
}
