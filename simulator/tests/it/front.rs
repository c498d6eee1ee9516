//! The emulator as a process: ready line, files, TLS, tokens, blobs, machines, restart, end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::emulator::{Emulator, Folder, alive, until};
use crate::support::{
    ACCOUNT, BLOB_CONTRIBUTOR, BLOB_READER, COMPUTE, GROUPS, IDENTITY, NETWORK, SET, STORAGE,
    SUBNET, VNET, account, scale_set, vnet,
};

#[test]
fn it_serves_metadata_and_tokens_over_tls_and_remembers_over_a_restart() {
    let folder = Folder::new("tokens");
    let mut emulator = Emulator::start(&folder.0, &["--time-scale", "1000"]);
    let object =
        emulator.send("GET", "/metadata/endpoints?api-version=2022-09-01", &[], b"").json();
    let own = format!("https://127.0.0.1:{}/", emulator.port);
    assert_eq!(object["resourceManager"], own.as_str());
    assert_eq!(object["authentication"]["loginEndpoint"], own.as_str());
    let list = emulator.send("GET", "/metadata/endpoints?api-version=2019-05-01", &[], b"").json();
    assert!(list.is_array());
    let openid = format!("/{}/v2.0/.well-known/openid-configuration", emulator.tenant);
    assert!(emulator.send("GET", &openid, &[], b"").json()["token_endpoint"].is_string());
    let wrong = emulator.token("https://management.azure.com/.default", "guess");
    assert_eq!(wrong.status, 401);
    assert!(wrong.text().contains("AADSTS7000215"));
    let subscription = format!("/subscriptions/{}?api-version=2022-12-01", emulator.subscription);
    assert_eq!(emulator.send("GET", &subscription, &[], b"").status, 401);
    let storage = emulator.bearer("https://storage.azure.com/.default");
    let refused = emulator.send("GET", &subscription, &[("Authorization", &storage)], b"");
    assert_eq!(refused.json()["error"]["code"], "InvalidAuthenticationTokenAudience");
    let mut forged = emulator.bearer("https://management.azure.com/.default");
    forged.truncate(forged.len() - 4);
    assert_eq!(emulator.send("GET", &subscription, &[("Authorization", &forged)], b"").status, 401);
    emulator.make("", GROUPS, &json!({"location": "westeurope"}));
    let (port, secret) = (emulator.port, emulator.secret.clone());
    let tags = json!({"tags": {"kept": "yes"}});
    assert_eq!(emulator.arm("PATCH", "", GROUPS, &tags).status, 200);
    emulator.end("KILL");
    let again = Emulator::start(&folder.0, &["--time-scale", "1000"]);
    assert_eq!((again.port, &again.secret), (port, &secret));
    let group = again.arm("GET", "", GROUPS, &Value::Null).json();
    assert_eq!(group["tags"], tags["tags"], "what was answered survives a kill");
}

#[test]
fn blobs_obey_roles_conditions_leases_and_ranges() {
    let folder = Folder::new("blobs");
    let emulator = Emulator::start(&folder.0, &["--time-scale", "1000"]);
    emulator.make("", GROUPS, &json!({"location": "westeurope"}));
    let id = emulator.make(ACCOUNT, STORAGE, &account())["id"].as_str().unwrap().to_owned();
    let container = format!("{ACCOUNT}/blobServices/default/containers/config");
    emulator.make(&container, STORAGE, &json!({"properties": {}}));
    let block = [("x-ms-blob-type", "BlockBlob")];
    let denied = emulator.blob("PUT", "config/a", &block, b"x");
    assert_eq!(denied.status, 403);
    assert!(denied.text().contains("<Code>AuthorizationPermissionMismatch</Code>"));
    let caller = "44444444-4444-4444-8444-444444444444";
    emulator.assign(&id, BLOB_CONTRIBUTOR, caller, 1);
    let first = until(|| {
        let answer = emulator.blob("PUT", "config/dir/a%20b", &block, b"hello world");
        (answer.status != 403).then_some(answer)
    });
    assert_eq!(first.status, 201);
    let etag = first.header("etag").unwrap().to_owned();
    let absent = [("x-ms-blob-type", "BlockBlob"), ("If-None-Match", "*")];
    assert_eq!(emulator.blob("PUT", "config/dir/a%20b", &absent, b"y").status, 409);
    let stale = [("x-ms-blob-type", "BlockBlob"), ("If-Match", "\"0x0\"")];
    assert_eq!(emulator.blob("PUT", "config/dir/a%20b", &stale, b"y").status, 412);
    let unchanged = [("If-None-Match", etag.as_str())];
    assert_eq!(emulator.blob("GET", "config/dir/a%20b", &unchanged, b"").status, 304);
    let part = emulator.blob("GET", "config/dir/a%20b", &[("x-ms-range", "bytes=6-100")], b"");
    assert_eq!((part.status, part.body.as_slice()), (206, b"world".as_slice()));
    assert_eq!(part.header("content-range"), Some("bytes 6-10/11"));
    assert_eq!(
        emulator.blob("GET", "config/dir/a%20b", &[("Range", "bytes=11-")], b"").status,
        416
    );
    let head = emulator.blob("HEAD", "config/none", &[], b"");
    assert_eq!((head.status, head.header("x-ms-error-code")), (404, Some("BlobNotFound")));
    assert_eq!(emulator.blob("GET", "nowhere/x", &[], b"").status, 404);

    let ids: Vec<String> = (0..3)
        .map(|n| base64::engine::general_purpose::STANDARD.encode(format!("{n:08}")))
        .collect();
    for (n, id) in ids.iter().enumerate() {
        let target = format!("config/big?comp=block&blockid={}", id.replace('=', "%3D"));
        let block = vec![u8::try_from(n).unwrap(); 1 << 20];
        assert_eq!(emulator.blob("PUT", &target, &[], &block).status, 201);
    }
    let listed =
        emulator.blob("GET", "config/big?comp=blocklist&blocklisttype=all", &[], b"").text();
    assert_eq!(listed.matches("<Size>1048576</Size>").count(), 3, "{listed}");
    let commit = format!(
        "<BlockList><Latest>{}</Latest><Uncommitted>{}</Uncommitted></BlockList>",
        ids[2], ids[0]
    );
    assert_eq!(
        emulator.blob("PUT", "config/big?comp=blocklist", &[], commit.as_bytes()).status,
        201
    );
    let big = emulator.blob("GET", "config/big", &[], b"");
    assert_eq!((big.body.len(), big.body[0], big.body[1 << 20]), (2 << 20, 2, 0));
    let missing = format!("<BlockList><Latest>{}</Latest></BlockList>", ids[1]);
    let refused = emulator.blob("PUT", "config/big?comp=blocklist", &[], missing.as_bytes());
    assert_eq!(
        (refused.status, refused.header("x-ms-error-code")),
        (400, Some("InvalidBlockList"))
    );

    let append = [("x-ms-blob-type", "AppendBlob")];
    assert_eq!(emulator.blob("PUT", "config/log", &append, b"").status, 201);
    for line in ["one\n", "two\n"] {
        assert_eq!(
            emulator.blob("PUT", "config/log?comp=appendblock", &[], line.as_bytes()).status,
            201
        );
    }
    assert_eq!(emulator.blob("GET", "config/log", &[], b"").text(), "one\ntwo\n");

    let acquire = [("x-ms-lease-action", "acquire"), ("x-ms-lease-duration", "60")];
    let lease = emulator.blob("PUT", "config/log?comp=lease", &acquire, b"");
    let lease_id = lease.header("x-ms-lease-id").unwrap().to_owned();
    assert_eq!(emulator.blob("PUT", "config/log?comp=lease", &acquire, b"").status, 409);
    assert_eq!(emulator.blob("DELETE", "config/log", &[], b"").status, 412);
    let with_lease = [("x-ms-lease-id", lease_id.as_str())];
    assert_eq!(emulator.blob("DELETE", "config/log", &with_lease, b"").status, 202);

    let page =
        emulator.blob("GET", "config?restype=container&comp=list&maxresults=1", &[], b"").text();
    assert!(
        page.contains("<Name>big</Name>") && page.contains("<NextMarker>dir/a b</NextMarker>"),
        "{page}"
    );
    let rest = emulator
        .blob("GET", "config?restype=container&comp=list&marker=dir/a%20b", &[], b"")
        .text();
    assert!(rest.contains("<Name>dir/a b</Name>") && !rest.contains("<Name>big</Name>"), "{rest}");
    let folders = emulator
        .blob("GET", "config?restype=container&comp=list&prefix=d&delimiter=/", &[], b"")
        .text();
    assert!(folders.contains("<BlobPrefix><Name>dir/</Name></BlobPrefix>"), "{folders}");
    let plain = emulator.send("GET", "/acct1/config/big", &[], b"");
    assert_eq!(plain.status, 401);
}

#[test]
fn a_machine_runs_its_custom_data_and_dies_with_its_scale_set() {
    let folder = Folder::new("machine");
    let mut emulator = Emulator::start(&folder.0, &["--time-scale", "1000"]);
    emulator.make("", GROUPS, &json!({"location": "westeurope"}));
    emulator.make(VNET, NETWORK, &vnet("10.1.0.0/16", &[("s", "10.1.1.0/24")]));
    let mut identities = Vec::new();
    for name in ["shared", "server-0"] {
        let id = format!("Microsoft.ManagedIdentity/userAssignedIdentities/{name}");
        identities.push(emulator.make(&id, IDENTITY, &json!({"location": "westeurope"})));
    }
    let id_of = |n: usize| identities[n]["id"].as_str().unwrap().to_owned();
    let account_id = emulator.make(ACCOUNT, STORAGE, &account())["id"].as_str().unwrap().to_owned();
    let unit = "[Service]\nExecStart=/bin/sh -c 'echo up; exec sleep 600'\nRestart=always\n";
    let config = json!({
        "write_files": [
            {"path": "/etc/demo/hello", "permissions": "0600", "content": "world"},
            {"path": "/etc/systemd/system/demo.service", "content": unit},
        ],
        "runcmd": [
            ["sh", "-c", "env | cut -d= -f1 | sort > $HCS_ROOT/names"],
            "systemctl daemon-reload && systemctl enable --now demo && systemctl is-active demo > $HCS_ROOT/active",
        ],
    });
    let data = base64::engine::general_purpose::STANDARD.encode(format!("#cloud-config\n{config}"));
    let subnet =
        format!("/subscriptions/{}/resourceGroups/g/providers/{SUBNET}", emulator.subscription);
    emulator.make(SET, COMPUTE, &scale_set(&subnet, &[&id_of(0), &id_of(1)], &data));
    let root = emulator.dir.join("vms/set_0");
    until(|| std::fs::read_to_string(root.join("active")).ok().filter(|t| t == "active\n"));
    assert_eq!(std::fs::read_to_string(root.join("etc/demo/hello")).unwrap(), "world");
    let names = std::fs::read_to_string(root.join("names")).unwrap();
    for word in names.lines() {
        let known = [
            "ARM_MSI_ENDPOINT",
            "HCS_ROOT",
            "HCS_TIME_SCALE",
            "HOME",
            "PATH",
            "PWD",
            "SSL_CERT_FILE",
            "_",
            "SHLVL",
            "OLDPWD",
        ];
        assert!(known.contains(&word), "the environment leaks {word}");
    }
    let vm = emulator.vms().remove(0);
    let pid = vm["pids"][0].to_string();
    assert!(alive(&pid));
    assert_eq!((&vm["zone"], &vm["privateIp"]), (&json!("1"), &json!("10.1.1.4")));

    let metadata = vm["metadata"].as_str().unwrap().trim_start_matches("http://").to_owned();
    let ask = |target: &str, header: &str| {
        let mut stream = TcpStream::connect(&metadata).unwrap();
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let body = text.split_once("\r\n\r\n").unwrap().1;
        (text[9..12].to_owned(), serde_json::from_str::<Value>(body).unwrap_or_default())
    };
    let token = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://storage.azure.com/";
    let header = "Metadata: true\r\n";
    assert_eq!(ask(token, "").0, "400", "the header is required");
    assert_eq!(ask(token, header).0, "400", "two identities and none named");
    assert_eq!(ask(&format!("{token}&msi_res_id={}x", id_of(0)), header).0, "400");
    let (status, body) = ask(&format!("{token}&msi_res_id={}", id_of(1).to_uppercase()), header);
    assert_eq!((status.as_str(), &body["token_type"]), ("200", &json!("Bearer")));
    assert!(body["expires_on"].is_string());
    let instance = ask("/metadata/instance?api-version=2021-02-01", header).1;
    assert_eq!(instance["compute"]["vmScaleSetName"], "set");
    let address = &instance["network"]["interface"][0]["ipv4"]["ipAddress"][0]["privateIpAddress"];
    assert_eq!(address, &vm["address"]);

    // The identity's token opens what its role opens, and nothing else.
    for name in ["config", "secrets-1"] {
        let id = format!("{ACCOUNT}/blobServices/default/containers/{name}");
        emulator.make(&id, STORAGE, &json!({"properties": {}}));
    }
    let scope = format!("{account_id}/blobServices/default/containers/config");
    let principal = identities[1]["properties"]["principalId"].as_str().unwrap();
    emulator.assign(&scope, BLOB_READER, principal, 1);
    let bearer = format!("Bearer {}", body["access_token"].as_str().unwrap());
    let as_server = |method: &str, target: &str| {
        let headers = [
            ("Authorization", bearer.as_str()),
            ("x-ms-version", "2023-11-03"),
            ("x-ms-blob-type", "BlockBlob"),
        ];
        emulator.send(method, &format!("/acct1/{target}"), &headers, b"").status
    };
    until(|| (as_server("GET", "config/x") == 404).then_some(()));
    assert_eq!(as_server("PUT", "config/x"), 403);
    assert_eq!(as_server("GET", "secrets-1/x"), 403);

    // An emulator that was killed leaves the service; its successor ends it and boots the machine.
    emulator.end("KILL");
    assert!(alive(&pid));
    drop(emulator);
    let emulator = Emulator::start(&folder.0, &["--time-scale", "1000"]);
    let next = until(|| {
        let vm = emulator.vms().into_iter().next()?;
        vm["pids"].as_array()?.first().map(ToString::to_string)
    });
    assert_ne!(next, pid);
    assert!(!alive(&pid));
    let answer = emulator.arm("DELETE", SET, COMPUTE, &Value::Null);
    assert_eq!(answer.status, 202);
    until(|| (!alive(&next) && !root.exists()).then_some(()));
    assert_eq!(emulator.vms().len(), 0);
}

/// Whoever asks for machines as soon as ARM shows none must not see those that are still being switched off.
#[test]
fn machines_that_resource_manager_shows_as_gone_have_ended() {
    let folder = Folder::new("gone");
    let emulator = Emulator::start(&folder.0, &["--time-scale", "1000"]);
    emulator.make("", GROUPS, &json!({"location": "westeurope"}));
    emulator.make(VNET, NETWORK, &vnet("10.1.0.0/16", &[("s", "10.1.1.0/24")]));
    let subnet =
        format!("/subscriptions/{}/resourceGroups/g/providers/{SUBNET}", emulator.subscription);
    let mut set = scale_set(&subnet, &[], "");
    set["sku"]["capacity"] = json!(8);
    emulator.make(SET, COMPUTE, &set);
    assert_eq!(emulator.vms().len(), 8, "all have power as soon as the set is there");
    assert_eq!(emulator.arm("DELETE", SET, COMPUTE, &Value::Null).status, 202);
    until(|| (emulator.arm("GET", SET, COMPUTE, &Value::Null).status == 404).then_some(()));
    assert_eq!(emulator.vms(), Vec::<Value>::new());
}

/// As on Azure: cloud-init marks a module before it runs, so one that was cut off never runs again. Only `bootcmd` runs
/// at every boot.
#[test]
fn a_first_boot_that_is_cut_off_is_not_begun_again() {
    let folder = Folder::new("cut-off");
    let mut emulator = Emulator::start(&folder.0, &["--time-scale", "1000"]);
    emulator.make("", GROUPS, &json!({"location": "westeurope"}));
    emulator.make(VNET, NETWORK, &vnet("10.1.0.0/16", &[("s", "10.1.1.0/24")]));
    let config = json!({
        "bootcmd": [["sh", "-c", "echo boot >> $HCS_ROOT/boots"]],
        "write_files": [{"path": "/etc/demo/hello", "content": "world"}],
        "runcmd": [["sh", "-c", "echo run >> $HCS_ROOT/runs; sleep 600"], "echo end >> $HCS_ROOT/runs"],
    });
    let data = base64::engine::general_purpose::STANDARD.encode(format!("#cloud-config\n{config}"));
    let subnet =
        format!("/subscriptions/{}/resourceGroups/g/providers/{SUBNET}", emulator.subscription);
    emulator.make(SET, COMPUTE, &scale_set(&subnet, &[], &data));
    let root = emulator.dir.join("vms/set_0");
    let lines = |name: &str| std::fs::read_to_string(root.join(name)).unwrap_or_default();
    until(|| (lines("runs") == "run\n").then_some(()));
    std::fs::remove_file(root.join("etc/demo/hello")).unwrap();
    emulator.end("KILL");
    let emulator = Emulator::start(&folder.0, &["--time-scale", "1000"]);
    until(|| (lines("boots") == "boot\nboot\n").then_some(()));
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(lines("runs"), "run\n", "the rest of runcmd is lost for good");
    assert!(!root.join("etc/demo/hello").exists());
    drop(emulator);
}

#[test]
fn a_dropped_answer_breaks_the_connection_after_the_effect() {
    let folder = Folder::new("faults");
    let mut emulator = Emulator::start(&folder.0, &["--fault", "drop-after:PUT:resourceGroups:1"]);
    let answer = emulator.arm("PUT", "", GROUPS, &json!({"location": "westeurope"}));
    assert_eq!(answer.status, 0, "no answer came");
    assert_eq!(emulator.arm("GET", "", GROUPS, &Value::Null).status, 200);
    let counts = emulator.send("GET", "/emulator/requests", &[], b"").json();
    assert_eq!(counts["requests"]["PUT Microsoft.Resources/resourceGroups"], 1);
    emulator.send("POST", "/emulator/requests/reset", &[], b"");
    assert_eq!(emulator.send("GET", "/emulator/requests", &[], b"").json()["total"], 0);
    emulator.end("INT");
}
