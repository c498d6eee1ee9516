//! What Terraform's log says of a provider.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value as Json;

use crate::workspace::example;

#[test]
fn every_line_of_a_call_carries_its_name_its_resource_and_an_id_of_its_own() {
    let workspace = example("resource \"example_box\" \"one\" {\n  name = \"one\"\n}\n");
    let log = workspace.folder("log.json");
    let workspace = workspace.with("TF_LOG", "JSON").with("TF_LOG_PATH", log.to_str().unwrap());
    workspace.apply();

    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<Json> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |call: &str| {
        let found = lines.iter().filter(|line| line["tf_rpc"] == call);
        found.cloned().collect::<Vec<_>>()
    };
    let applied = of("ApplyResourceChange");
    let messages: Vec<_> = applied.iter().map(|line| line["@message"].as_str().unwrap()).collect();
    // The author's own lines are among them.
    assert_eq!(messages, ["stored", "answered"], "{text}");
    for line in &applied {
        assert_eq!(line["tf_resource_type"], "example_box", "{line}");
        assert_eq!(line["tf_req_id"], applied[0]["tf_req_id"], "{line}");
    }
    assert_eq!(applied[1]["@module"], "tfplugin.rpc");
    assert!(applied[1]["took_ms"].is_u64());
    let ids: BTreeSet<String> = lines
        .iter()
        .filter(|line| line["@message"] == "answered")
        .map(|line| line["tf_req_id"].as_str().unwrap().to_owned())
        .collect();
    let answered = lines.iter().filter(|line| line["@message"] == "answered").count();
    assert_eq!(ids.len(), answered, "no two calls share an id");
}
