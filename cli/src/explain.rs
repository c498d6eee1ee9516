//! `hcs explain`: one step of a plan.

use std::fmt::Write as _;

use hcs_planner::estimate::{critical_path, seconds};
use hcs_planner::plan as planner;
use hcs_planner::plan::{Action, Plan, StepIndex};

use crate::input::{CliError, Files, nearest};
use crate::plan::Answer;

/// What a step does, why, what it waits for and what waits for it.
pub(crate) fn explain(files: &Files<'_>, wanted: &str) -> Result<Answer, CliError> {
    let input = files.read()?;
    let plan = planner::plan(&input.spec, &input.observed)?;
    let steps = plan.steps();
    let Some((index, step)) = steps.iter().find(|(_, step)| step.id == wanted) else {
        let near = steps.iter().map(|(_, step)| step.id.as_str());
        let near = nearest(near, wanted);
        return Err(CliError::NoStep { step: wanted.to_owned(), near });
    };
    let (critical, starts) = critical_path(&plan);
    let mut text = format!("{}\n", step.id);
    let start = starts.get(index).copied().unwrap_or_default();
    let _ = writeln!(
        text,
        "  about {} s on Azure, starts after about {start} s{}",
        seconds(&step.action),
        if critical.contains(index) { ", on the critical path" } else { "" }
    );
    match &step.action {
        Action::Delete { reason, .. } | Action::Restart { reason, .. } => {
            let _ = writeln!(text, "  because {reason}");
        }
        Action::Put { differences, .. } => {
            for difference in differences {
                let _ = writeln!(
                    text,
                    "  because {} is {} and should be {}",
                    difference.path, difference.observed, difference.desired
                );
            }
        }
        _ => {}
    }
    names(&plan, "waits for", &plan.needs(*index), &mut text);
    names(&plan, "is waited for by", &plan.feeds(*index), &mut text);
    if let Ok(body) = serde_json::to_string_pretty(&step.action) {
        let _ = writeln!(text, "  does\n{body}");
    }
    Ok(Answer { text, changes: false })
}

fn names(plan: &Plan, title: &str, indexes: &[StepIndex], text: &mut String) {
    let names: Vec<&str> =
        indexes.iter().filter_map(|index| plan.step(*index)).map(|s| s.id.as_str()).collect();
    let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    let _ = writeln!(text, "  {title} {names}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = r#"{ "resource_changes": [ { "type": "hcs_cluster", "mode": "managed", "change": {
            "after": { "name": "demo", "resource_group_name": "rg", "location": "westeurope",
                       "server_count": 5, "tags": null, "image": null } } } ] }"#;
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn files(file: &tempfile::NamedTempFile) -> Files<'_> {
        Files { declared: file.path(), observed: None, address: None }
    }

    #[test]
    fn a_step_of_a_terraform_plan_is_explained() {
        let file = demo();
        let text = explain(&files(&file), "create server_4").unwrap().text;
        assert!(
            text.contains("waits for") && text.contains("mint agent token of server 4"),
            "{text}"
        );
        assert!(text.contains("is waited for by") && text.contains("wait until healthy"), "{text}");
    }

    #[test]
    fn a_mistyped_step_gets_a_suggestion() {
        let file = demo();
        let error = explain(&files(&file), "create server_x").err().unwrap().to_string();
        assert!(error.contains("did you mean \"create server_"), "{error}");
    }
}
