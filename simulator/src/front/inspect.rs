//! `/emulator/…`: a look inside for tests, without authentication.

use serde_json::{Value, json};

use super::now_ms;
use super::state::Shared;
use super::wire::{self, Reply};
use crate::world::fault::Fault;

/// Answers one request.
pub(crate) async fn serve(shared: &Shared, method: &str, path: &str, body: &[u8]) -> Reply {
    match (method, path.trim_end_matches('/')) {
        ("GET", "/emulator/objects") => {
            let rows = shared.world().objects();
            wire::json(200, &json!({"value": rows}))
        }
        ("GET", "/emulator/requests") => {
            let world = shared.world();
            let total: u64 = world.counters().values().sum();
            wire::json(200, &json!({"total": total, "requests": world.counters()}))
        }
        ("GET", "/emulator/bodies") => wire::json(200, &json!({"bodies": shared.world().bodies()})),
        ("GET", "/emulator/audited") => {
            wire::json(200, &json!({"value": shared.world().audited()}))
        }
        ("POST", "/emulator/requests/reset") => {
            shared.world().reset_counters();
            wire::reply(204, "", "")
        }
        ("GET", "/emulator/vms") => {
            shared.settle().await;
            wire::json(200, &json!({"value": shared.machines.rows()}))
        }
        ("POST", "/emulator/faults") => {
            let text = String::from_utf8_lossy(body);
            let mut faults: Vec<Fault> = Vec::new();
            for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
                match line.parse() {
                    Ok(fault) => faults.push(fault),
                    Err(error) => {
                        let error: crate::FaultError = error;
                        return wire::json(400, &json!({"error": error.to_string()}));
                    }
                }
            }
            let mut world = shared.world();
            for fault in faults {
                world.inject(fault);
            }
            wire::reply(204, "", "")
        }
        ("DELETE", "/emulator/faults") => {
            shared.world().clear_faults();
            wire::reply(204, "", "")
        }
        ("GET", "/emulator/time") => {
            let scale = shared.world().settings().time_scale;
            wire::json(200, &json!({"nowMs": now_ms(), "timeScale": scale}))
        }
        ("GET", "/emulator/aliases.json") => wire::json(200, &json!({"outputs": Value::Null})),
        _ => wire::json(404, &json!({"error": "The emulator knows no such page."})),
    }
}
