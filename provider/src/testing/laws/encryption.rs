//! Keys of somebody: for the account, for the disks; and hosts that encrypt.

use std::collections::BTreeSet;
use std::time::Duration;

use hcs_planner::arm::{ArmId, Kind};
use hcs_planner::customer_key::CustomerManagedKey;
use hcs_planner::names::storage_account;
use hcs_simulator::CallFault;
use serde_json::{Value as Json, json};
use tfplugin::Value;

use super::gallery::bring_room;
use super::inputs::reservation_group;
use super::landing::{corporate, landing_zone};
use super::reads::{assign, principal};
use crate::testing::core::{Failure, Instance, Options, apply, plan, whole};
use crate::testing::{Azure, GROUP, Kill, demo, group_id};

/// *Key Vault Crypto Service Encryption User*.
const KEY_USER: &str = "e147488a-f6f5-4113-8e2d-b22465e65bf6";
const SETS: &str = "Microsoft.Compute/diskEncryptionSets";

fn vault(name: &str) -> ArmId {
    group_id(GROUP).resource(CustomerManagedKey::VAULT, name)
}

async fn make_vault(azure: &Azure, name: &str, is_protected: bool) {
    let mut body = json!({ "location": "westeurope", "properties": {
        "tenantId": "22222222-2222-4222-8222-222222222222",
        "sku": { "family": "A", "name": "standard" },
        "enableRbacAuthorization": true,
    } });
    if is_protected {
        body["properties"]["enablePurgeProtection"] = json!(true);
    }
    azure.put(&vault(name), "2023-07-01", body).await;
    for key in ["consul", "next"] {
        let body = json!({ "properties": { "kty": "RSA", "keySize": 3072 } });
        azure.put(&vault(name).child("keys", key), "2023-07-01", body).await;
    }
}

/// Two vaults with two keys each, and an identity that may use them.
pub(super) async fn bring_keys(azure: &Azure) {
    let user = principal(azure, "key-user").await;
    for name in ["keys", "spare"] {
        make_vault(azure, name, true).await;
        assign(azure, &user, KEY_USER, &vault(name)).await;
    }
}

/// A set for disks.
pub(super) async fn bring_set(azure: &Azure, id: &ArmId, location: &str) {
    let key = "https://keys.vault.azure.net/keys/consul/1";
    let body = json!({ "location": location, "identity": { "type": "SystemAssigned" },
        "properties": { "activeKey": { "keyUrl": key } } });
    azure.put(id, "2022-07-02", body).await;
}

/// What a security team brings, and a vault that forgets and an identity that may nothing.
async fn platform() -> Azure {
    let azure = Azure::new().await;
    bring_keys(&azure).await;
    make_vault(&azure, "lossy", false).await;
    principal(&azure, "nobody").await;
    bring_set(&azure, &set("disks"), "westeurope").await;
    bring_set(&azure, &set("north"), "northeurope").await;
    azure
}

fn set(name: &str) -> ArmId {
    group_id(GROUP).resource(SETS, name)
}

fn key(vault_name: &str, key_name: &str, user: &str) -> Value {
    let identity = group_id(GROUP).resource(Kind::Identity.resource_type(), user);
    Value::object([
        ("key_vault_resource_id", Value::from(vault(vault_name).to_string())),
        ("key_name", key_name.into()),
        (
            "user_assigned_identity",
            Value::object([("resource_id", Value::from(identity.to_string()))]),
        ),
    ])
}

fn config(more: &[(&'static str, Value)]) -> Value {
    let own = [("location", Value::from("westeurope")), ("server_count", 1.into())];
    demo(own.into_iter().chain(more.iter().cloned()))
}

/// Applies, and plans nothing afterwards.
async fn lands(azure: &Azure, instance: &mut Instance, config: &Value) {
    let cluster = azure.provider(Value::Null, None).cluster();
    apply(&cluster, instance, Some(config), Options::default()).await.unwrap();
    let state = instance.current.clone().unwrap().state;
    let planned = plan(&cluster, &state, &[], config).await.unwrap();
    assert_eq!(planned.planned, whole(cluster.as_ref(), &state), "nothing is planned");
}

fn encryption(azure: &Azure) -> Json {
    azure.object(&storage_account(&Azure::cluster_id())).unwrap()["properties"]["encryption"]
        .clone()
}

/// Body of the server in slot 0, and when it was made.
fn server(azure: &Azure) -> Json {
    let kind = Kind::ScaleSet.resource_type();
    azure.object(&Azure::cluster_id().resource(kind, "demo-server-0")).unwrap()
}

fn birth(azure: &Azure) -> Json {
    server(azure)["properties"]["uniqueId"].clone()
}

#[tokio::test(start_paused = true)]
async fn a_key_comes_changes_and_goes_while_the_servers_stay() {
    let azure = platform().await;
    let mut instance = Instance::default();
    let of = |name: &str| config(&[("customer_managed_key", key("keys", name, "key-user"))]);
    let version = "0682afdd9c104f4285df20107e956cad";
    let exact = config(&[(
        "customer_managed_key",
        key("keys", "next", "key-user").with("key_version", version),
    )]);
    let mut births = BTreeSet::new();
    let expected = [
        (config(&[]), json!(null), json!(null)),
        (of("consul"), json!("consul"), json!(null)),
        (exact, json!("next"), json!(version)),
        (of("next"), json!("next"), json!(null)),
        (config(&[]), json!(null), json!(null)),
        (of("consul"), json!("consul"), json!(null)),
    ];
    for (config, name, version) in expected {
        lands(&azure, &mut instance, &config).await;
        let found = encryption(&azure);
        let source = if name.is_null() { "Microsoft.Storage" } else { "Microsoft.Keyvault" };
        assert_eq!(found["keySource"], source);
        assert_eq!(found["keyvaultproperties"]["keyname"], name);
        let shown = &found["keyvaultproperties"]["keyversion"];
        let newest = if name.is_null() { json!(null) } else { json!("") };
        assert_eq!(*shown, if version.is_null() { newest } else { version });
        births.insert(birth(&azure).to_string());
    }
    assert_eq!(births.len(), 1, "no server was made anew");
}

fn account(azure: &Azure) -> Json {
    azure.object(&storage_account(&Azure::cluster_id())).unwrap()
}

/// Killed at each call while a key comes: whoever takes the declaration back has an account with Azure's key.
#[tokio::test(start_paused = true)]
async fn a_key_that_came_halfway_goes_with_its_declaration() {
    let with = config(&[("customer_managed_key", key("keys", "consul", "key-user"))]);
    let mut seen_with_key = 0;
    for at in 0.. {
        let azure = platform().await;
        let mut instance = Instance::default();
        lands(&azure, &mut instance, &config(&[])).await;
        let dying = azure.provider(Value::Null, Some(Kill { at, fault: CallFault::KillAfter }));
        let (mut state, cluster) = (instance.clone(), dying.cluster());
        let is_done = tokio::select! {
            biased;
            outcome = apply(&cluster, &mut state, Some(&with), Options::default()) => {
                outcome.unwrap();
                true
            }
            () = dying.death() => false,
        };
        if is_done {
            break;
        }
        tokio::time::sleep(Duration::from_mins(30)).await;
        seen_with_key += usize::from(encryption(&azure)["keySource"] == "Microsoft.Keyvault");
        lands(&azure, &mut instance, &config(&[])).await;
        let body = account(&azure);
        assert_eq!(body["properties"]["encryption"]["keySource"], "Microsoft.Storage", "{at}");
        assert!(body["identity"]["userAssignedIdentities"].is_null(), "{at}: {body}");
        assert!(body["tags"]["hcs-declared"].is_null(), "{at}: {body}");
    }
    assert!(seen_with_key > 3, "{seen_with_key}");
}

/// An account that names an identity that is gone takes no write any more.
#[tokio::test(start_paused = true)]
async fn an_identity_goes_with_the_key_that_it_was_for() {
    let azure = platform().await;
    let second = principal(&azure, "second").await;
    assign(&azure, &second, KEY_USER, &vault("keys")).await;
    let of = |user: &str| ("customer_managed_key", key("keys", "consul", user));
    let tagged = |text: &str| ("tags", Value::map([("team", Value::from(text))]));
    let mut instance = Instance::default();
    let identity = |name: &str| group_id(GROUP).resource(Kind::Identity.resource_type(), name);
    lands(&azure, &mut instance, &config(&[of("key-user")])).await;
    lands(&azure, &mut instance, &config(&[of("second")])).await;
    azure.delete(&identity("key-user")).await;
    lands(&azure, &mut instance, &config(&[of("second"), tagged("blue")])).await;
    lands(&azure, &mut instance, &config(&[tagged("blue")])).await;
    azure.delete(&identity("second")).await;
    lands(&azure, &mut instance, &config(&[tagged("red")])).await;
    assert_eq!(account(&azure)["tags"]["team"], "red");
}

/// What was never declared is somebody's, on an account that is open and on one that is closed.
#[tokio::test(start_paused = true)]
async fn a_key_of_somebody_else_stays() {
    let one = ("server_count", Value::from(1));
    let tags = ("tags", Value::map([("team", Value::from("blue"))]));
    let tag = |more: &[(&'static str, Value)], is_closed: bool| {
        if is_closed { corporate(more) } else { config(more) }
    };
    for is_closed in [false, true] {
        let azure = landing_zone().await;
        bring_keys(&azure).await;
        let mut instance = Instance::default();
        lands(&azure, &mut instance, &tag(std::slice::from_ref(&one), is_closed)).await;
        let user = group_id(GROUP).resource(Kind::Identity.resource_type(), "key-user");
        let theirs = json!({
            "identity": {
                "type": "SystemAssigned,UserAssigned",
                "userAssignedIdentities": { user.as_str(): {} },
            },
            "properties": { "encryption": {
                "keySource": "Microsoft.Keyvault",
                "identity": { "userAssignedIdentity": user },
                "keyvaultproperties": { "keyvaulturi": "https://keys.vault.azure.net/", "keyname": "next" },
            } },
        });
        let mut shown = account(&azure);
        shown.as_object_mut().unwrap().remove("emulator");
        let body = hcs_planner::diff::merged(Kind::StorageAccount, &theirs, &shown);
        let id = storage_account(&Azure::cluster_id());
        azure.put(&id, Kind::StorageAccount.api_version(), body).await;
        let after = [one.clone(), tags.clone()];
        lands(&azure, &mut instance, &tag(&after, is_closed)).await;
        let body = account(&azure);
        assert_eq!(body["tags"]["team"], "blue");
        let own = &body["properties"]["encryption"];
        assert_eq!(own["keySource"], "Microsoft.Keyvault", "closed: {is_closed}");
        assert_eq!(own["keyvaultproperties"]["keyname"], "next");
        assert_eq!(body["identity"]["type"], "SystemAssigned,UserAssigned");
    }
}

/// What Azure or the vault lacks is told, at the attribute where it can be, and nothing is lost.
#[tokio::test(start_paused = true)]
async fn a_key_that_cannot_be_used_is_told_and_another_one_goes_on() {
    let azure = platform().await;
    let cluster = azure.provider(Value::Null, None).cluster();
    let planned = async |key: Value| {
        let config = config(&[("customer_managed_key", key)]);
        match plan(&cluster, &Value::Null, &[], &config).await {
            Ok(planned) => format!("{:?}", planned.diagnostics),
            Err(failure) => format!("{failure:?}"),
        }
    };
    let told = planned(key("lossy", "consul", "key-user")).await;
    assert!(told.contains("--enable-purge-protection true"), "{told}");
    let told = planned(key("elsewhere", "consul", "key-user")).await;
    assert!(told.contains("Key vault does not exist yet"), "{told}");
    let told = planned(key("keys", "consul", "ghost")).await;
    assert!(told.contains("Identity does not exist yet"), "{told}");
    let mut instance = Instance::default();
    let of = |name: &str, user: &str| config(&[("customer_managed_key", key("keys", name, user))]);
    for (name, user, part) in [
        ("consul", "nobody", "Key Vault Crypto Service Encryption User"),
        ("missing", "key-user", "az keyvault key list"),
    ] {
        let config = of(name, user);
        let outcome = apply(&cluster, &mut instance, Some(&config), Options::default()).await;
        let Err(Failure::Told(told)) = outcome else { panic!("{outcome:?}") };
        assert!(told.join("\n").contains(part), "{part}: {told:?}");
    }
    lands(&azure, &mut instance, &of("consul", "key-user")).await;
}

/// Identity, role and cluster in one configuration: a fresh role counts within minutes.
#[tokio::test(start_paused = true)]
async fn a_role_on_the_key_that_comes_meanwhile_is_waited_for() {
    let azure = platform().await;
    let late = principal(&azure, "late").await;
    let cluster = azure.provider(Value::Null, None).cluster();
    let config = config(&[("customer_managed_key", key("keys", "consul", "late"))]);
    let mut instance = Instance::default();
    let (outcome, ()) =
        tokio::join!(apply(&cluster, &mut instance, Some(&config), Options::default()), async {
            tokio::time::sleep(Duration::from_mins(2)).await;
            assign(&azure, &late, KEY_USER, &vault("keys")).await;
        });
    outcome.unwrap();
    assert_eq!(encryption(&azure)["keySource"], "Microsoft.Keyvault");
}

#[tokio::test(start_paused = true)]
async fn disks_with_a_key_of_somebody_and_hosts_that_encrypt_make_servers_anew() {
    let azure = platform().await;
    let mut instance = Instance::default();
    let own = ("disk_encryption_set_id", Value::from(set("disks").to_string()));
    let at_host = ("encryption_at_host_enabled", Value::from(true));
    let fast = ("data_disk_type", Value::from("PremiumV2_LRS"));
    azure.register_encryption_at_host().await;
    tokio::time::sleep(Duration::from_mins(15)).await;
    let all = [own, at_host, fast];
    let steps: [&[(&'static str, Value)]; 6] = [&[], &all[..1], &all[..2], &all, &all[2..], &[]];
    let mut births = BTreeSet::new();
    for step in steps {
        lands(&azure, &mut instance, &config(step)).await;
        let body = server(&azure);
        let profile = &body["properties"]["virtualMachineProfile"];
        let has = |name: &str| step.iter().any(|(own, _)| *own == name);
        for disk in ["osDisk", "dataDisks/0"] {
            let id = profile["storageProfile"]
                .pointer(&format!("/{disk}/managedDisk/diskEncryptionSet/id"));
            assert_eq!(id.is_some(), has("disk_encryption_set_id"), "{disk}: {body}");
        }
        let word = &profile["securityProfile"]["encryptionAtHost"];
        assert_eq!(word.is_null(), !has("encryption_at_host_enabled"), "{body}");
        let kind = &profile["storageProfile"]["dataDisks"][0]["managedDisk"]["storageAccountType"];
        let expected = if has("data_disk_type") { "PremiumV2_LRS" } else { "Premium_LRS" };
        assert_eq!(kind, expected);
        assert!(births.insert(birth(&azure).to_string()), "the server is another one");
    }
}

/// What of the account and the server is not ours alone: where it is, and whether it is the server's.
const SHARED: [(&str, bool, &str); 4] = [
    ("customer_managed_key", false, "/properties/encryption/keyvaultproperties/keyname"),
    (
        "disk_encryption_set_id",
        true,
        "/properties/virtualMachineProfile/storageProfile/osDisk/managedDisk/diskEncryptionSet/id",
    ),
    (
        "encryption_at_host_enabled",
        true,
        "/properties/virtualMachineProfile/securityProfile/encryptionAtHost",
    ),
    (
        "capacity_reservation_group_id",
        true,
        "/properties/virtualMachineProfile/capacityReservation/capacityReservationGroup/id",
    ),
];

/// A policy takes tags away: the stored declaration knows still. Each by itself, beside all others that stay: a server that is
/// made anew has what is declared and nothing else.
#[tokio::test(start_paused = true)]
async fn what_was_declared_goes_with_its_declaration_though_a_policy_took_its_tag() {
    for (name, of_server, pointer) in SHARED {
        let azure = platform().await;
        azure.register_encryption_at_host().await;
        bring_room(&azure, "West Europe").await;
        let value = match name {
            "customer_managed_key" => key("keys", "consul", "key-user"),
            "disk_encryption_set_id" => set("disks").to_string().into(),
            "encryption_at_host_enabled" => true.into(),
            _ => reservation_group("room").into(),
        };
        let mut instance = Instance::default();
        lands(&azure, &mut instance, &config(&[(name, value)])).await;
        let body = || if of_server { server(&azure) } else { account(&azure) };
        let id = if of_server {
            Azure::cluster_id().resource(Kind::ScaleSet.resource_type(), "demo-server-0")
        } else {
            storage_account(&Azure::cluster_id())
        };
        let before = body();
        assert!(before.pointer(pointer).is_some(), "{name}: {before}");
        let mut tags = before["tags"].clone();
        tags.as_object_mut().unwrap().remove("hcs-declared").unwrap();
        let all = ArmId::new(format!("{id}/providers/Microsoft.Resources/tags/default"));
        azure.put(&all, "2021-04-01", json!({ "properties": { "tags": tags } })).await;
        lands(&azure, &mut instance, &config(&[])).await;
        let after = body();
        let is_gone = after.pointer(pointer).is_none_or(|left| left.is_null() || left == false);
        assert!(is_gone, "{name}: {after}");
        if of_server {
            let births = [&before, &after].map(|body| body["properties"]["uniqueId"].clone());
            assert_ne!(births[0], births[1], "{name}: the server is made anew");
        }
    }
}

/// And what somebody put in its place is not ours.
#[tokio::test(start_paused = true)]
async fn what_somebody_exchanged_stays_when_the_declaration_goes() {
    let azure = platform().await;
    bring_room(&azure, "West Europe").await;
    let room = ("capacity_reservation_group_id", Value::from(reservation_group("room")));
    let mut instance = Instance::default();
    lands(&azure, &mut instance, &config(&[room])).await;
    let id = Azure::cluster_id().resource(Kind::ScaleSet.resource_type(), "demo-server-0");
    let mut body = server(&azure);
    body.as_object_mut().unwrap().remove("emulator");
    body["tags"].as_object_mut().unwrap().remove("hcs-declared").unwrap();
    let theirs = json!({ "capacityReservationGroup": { "id": reservation_group("more-room") } });
    body["properties"]["virtualMachineProfile"]["capacityReservation"] = theirs.clone();
    azure.put(&id, Kind::ScaleSet.api_version(), body).await;
    let before = birth(&azure);
    lands(&azure, &mut instance, &config(&[])).await;
    let after = server(&azure);
    assert_eq!(after["properties"]["virtualMachineProfile"]["capacityReservation"], theirs);
    assert_eq!(birth(&azure), before);
}

#[tokio::test(start_paused = true)]
async fn what_disks_and_hosts_need_is_told_while_planning() {
    let azure = platform().await;
    let cluster = azure.provider(Value::Null, None).cluster();
    let planned = async |more: &[(&'static str, Value)]| match plan(
        &cluster,
        &Value::Null,
        &[],
        &config(more),
    )
    .await
    {
        Ok(planned) => format!("{:?}", planned.diagnostics),
        Err(failure) => format!("{failure:?}"),
    };
    let at_host = ("encryption_at_host_enabled", Value::from(true));
    let told = planned(std::slice::from_ref(&at_host)).await;
    assert!(told.contains("az feature register --namespace Microsoft.Compute"), "{told}");
    azure.register_encryption_at_host().await;
    let told = planned(std::slice::from_ref(&at_host)).await;
    assert!(told.contains("is not registered"), "it takes minutes: {told}");
    tokio::time::sleep(Duration::from_mins(15)).await;
    assert!(!planned(std::slice::from_ref(&at_host)).await.contains("not registered"));
    let told = planned(&[at_host, ("vm_size", "Standard_B2ms".into())]).await;
    assert!(told.contains("Hosts of Standard_B2ms do not encrypt"), "{told}");
    let of = |id: String| ("disk_encryption_set_id", Value::from(id));
    let told = planned(&[of(set("north").to_string())]).await;
    assert!(told.contains("is in northeurope, the cluster in westeurope"), "{told}");
    let told = planned(&[of(set("ghost").to_string())]).await;
    assert!(told.contains("Disk encryption set does not exist yet"), "{told}");
    let elsewhere = set("disks").to_string().replace("11111111", "99999999");
    let told = planned(&[of(elsewhere)]).await;
    assert!(told.contains("is in another subscription"), "{told}");
}

/// Killed anywhere while a key comes and servers are made anew with it.
#[tokio::test(start_paused = true)]
async fn whoever_is_killed_while_keys_come_is_followed_by_one_who_finishes() {
    let both = config(&[
        ("customer_managed_key", key("keys", "consul", "key-user")),
        ("disk_encryption_set_id", set("disks").to_string().into()),
    ]);
    let (mut killed, mut random) = (0, super::Random(20));
    for _ in 0..super::cases(12) {
        let azure = platform().await;
        let mut instance = Instance::default();
        lands(&azure, &mut instance, &config(&[])).await;
        let fault = if random.chance(2) { CallFault::KillBefore } else { CallFault::KillAfter };
        let kill = Kill { at: random.below(150), fault };
        let dying = azure.provider(Value::Null, Some(kill));
        let (mut state, cluster) = (instance.clone(), dying.cluster());
        tokio::select! {
            biased;
            outcome = apply(&cluster, &mut state, Some(&both), Options::default()) => {
                outcome.unwrap();
                instance = state;
            }
            () = dying.death() => killed += 1,
        }
        // Another machine, half an hour later.
        tokio::time::sleep(Duration::from_mins(30)).await;
        lands(&azure, &mut instance, &both).await;
        assert_eq!(encryption(&azure)["keySource"], "Microsoft.Keyvault");
        let profile = &server(&azure)["properties"]["virtualMachineProfile"]["storageProfile"];
        assert!(profile["osDisk"]["managedDisk"]["diskEncryptionSet"]["id"].is_string());
    }
    assert!(killed >= super::cases(12) / 2, "{killed} were killed");
}
