//! Images of somebody's gallery, what was bought with them, and room that is reserved.

use std::collections::BTreeSet;

use hcs_planner::arm::{ArmId, Kind};
use serde_json::{Value as Json, json};
use tfplugin::Value;

use super::inputs::{a_plan, gallery_image, reservation_group};
use crate::testing::core::{Instance, Options, apply, plan, whole};
use crate::testing::{Azure, demo};

const GALLERIES: &str = "2022-03-03";
const RESERVATIONS: &str = "2024-07-01";
const SIZE: &str = "Standard_D2s_v5";

/// An image with two versions in a region, and two groups of reservations in each of its zones.
pub(super) async fn bring_room(azure: &Azure, region: &str) {
    let first = ArmId::new(gallery_image("1.0.0"));
    let image = ArmId::new(first.as_str().rsplit_once("/versions/").unwrap().0);
    let gallery = ArmId::new(image.as_str().rsplit_once("/images/").unwrap().0);
    azure.put(&gallery, GALLERIES, json!({ "location": region, "properties": {} })).await;
    let kind = json!({ "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V2", "architecture": "x64",
        "features": [{ "name": "SecurityType", "value": "TrustedLaunchSupported" }] });
    azure.put(&image, GALLERIES, json!({ "location": region, "properties": kind })).await;
    for version in ["1.0.0", "1.1.0"] {
        let body = json!({ "location": region, "properties": {
            "publishingProfile": { "targetRegions": [{ "name": region }] },
        } });
        azure.put(&ArmId::new(gallery_image(version)), GALLERIES, body).await;
    }
    for group in ["room", "more-room"] {
        bring_reservations(azure, group, region, &["1", "2", "3"]).await;
    }
}

async fn bring_reservations(azure: &Azure, group: &str, region: &str, zones: &[&str]) {
    let group = ArmId::new(reservation_group(group));
    let body = json!({ "location": region, "zones": zones });
    azure.put(&group, RESERVATIONS, body).await;
    // One of each size that is asked for in these laws.
    for zone in zones {
        let body = json!({
            "location": region, "zones": [zone], "sku": { "name": SIZE, "capacity": 2 },
        });
        azure
            .put(&group.child("capacityReservations", &format!("zone-{zone}")), RESERVATIONS, body)
            .await;
    }
}

fn config(more: &[(&'static str, Value)]) -> Value {
    let own = [("location", Value::from("westeurope")), ("server_count", 1.into())];
    demo(own.into_iter().chain(more.iter().cloned()))
}

async fn told(azure: &Azure, more: &[(&'static str, Value)]) -> String {
    let cluster = azure.provider(Value::Null, None).cluster();
    match plan(&cluster, &Value::Null, &[], &config(more)).await {
        Ok(planned) => format!("{:?}", planned.diagnostics),
        Err(failure) => format!("{failure:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_of_a_gallery_and_reserved_room_make_servers_anew_and_go_again() {
    let azure = Azure::new().await;
    bring_room(&azure, "West Europe").await;
    let cluster = azure.provider(Value::Null, None).cluster();
    let mut instance = Instance::default();
    let image = |version: &str| ("source_image_id", Value::from(gallery_image(version)));
    let room =
        |group: &str| ("capacity_reservation_group_id", Value::from(reservation_group(group)));
    let bought = ("image_plan", a_plan("l1"));
    let steps: [&[(&'static str, Value)]; 7] = [
        &[],
        &[image("1.0.0")],
        &[image("1.1.0"), bought.clone()],
        &[image("1.1.0")],
        &[image("1.1.0"), room("room")],
        &[room("more-room")],
        &[],
    ];
    let mut births = BTreeSet::new();
    for step in steps {
        let config = config(step);
        apply(&cluster, &mut instance, Some(&config), Options::default()).await.unwrap();
        let state = instance.current.clone().unwrap().state;
        let planned = plan(&cluster, &state, &[], &config).await.unwrap();
        assert_eq!(planned.planned, whole(cluster.as_ref(), &state), "{step:?} plans nothing");
        let kind = Kind::ScaleSet.resource_type();
        let body = azure.object(&Azure::cluster_id().resource(kind, "demo-server-0")).unwrap();
        let profile = &body["properties"]["virtualMachineProfile"];
        let of = |name: &str| step.iter().find(|(own, _)| *own == name).map(|(_, value)| value);
        let reference = &profile["storageProfile"]["imageReference"];
        let text = |value: Option<&Value>| value.and_then(|value| value.as_str()).map(Json::from);
        assert_eq!(reference.get("id").cloned(), text(of("source_image_id")), "{body}");
        assert_eq!(reference["publisher"].is_null(), of("source_image_id").is_some(), "{body}");
        assert_eq!(state.get("image").is_null(), of("source_image_id").is_some());
        assert_eq!(body["plan"].is_object(), of("image_plan").is_some(), "{body}");
        let group = profile.pointer("/capacityReservation/capacityReservationGroup/id");
        assert_eq!(group.cloned(), text(of("capacity_reservation_group_id")), "{body}");
        let version = state.get("image_version").as_str().unwrap_or_default();
        if let Some(id) = of("source_image_id") {
            assert!(id.as_str().unwrap().ends_with(&format!("/{version}")), "{version}");
        }
        let birth = body["properties"]["uniqueId"].to_string();
        assert!(births.insert(birth), "{step:?}: the server is another one");
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_image_and_a_reservation_lack_is_told_while_planning() {
    let azure = Azure::new().await;
    bring_room(&azure, "West Europe").await;
    bring_reservations(&azure, "half", "westeurope", &["1"]).await;
    let image = |version: &str| ("source_image_id", Value::from(gallery_image(version)));
    let room =
        |group: &str| ("capacity_reservation_group_id", Value::from(reservation_group(group)));
    let north = ("location", Value::from("northeurope"));
    let three = ("server_count", Value::from(3));
    assert!(!told(&azure, &[image("1.0.0"), room("room")]).await.contains("Error"));
    for (inputs, expected) in [
        (vec![image("9.9.9")], "Image does not exist yet"),
        (vec![image("1.0.0"), north.clone()], "Image is not in the cluster's region"),
        (vec![room("ghost")], "Nothing is reserved yet"),
        (vec![room("room"), north], "Capacity reservation group is in another region"),
        (vec![room("half"), three.clone()], "in zone 2, 3"),
        (vec![room("half")], "in zone 2"),
        (vec![room("room"), ("server_count", 7.into())], "zone 1: 2 for 3"),
        (vec![room("room"), ("zones", Value::list([]))], "needs zones"),
        (
            vec![room("room"), ("vm_size", "Standard_D4s_v5".into())],
            "for Standard_D4s_v5 in zone 1",
        ),
    ] {
        let found = told(&azure, &inputs).await;
        assert!(found.contains(expected), "{expected}: {found}");
    }
    // Of another kind than the servers are.
    let first = gallery_image("1.0.0");
    let definition = ArmId::new(first.rsplit_once("/versions/").unwrap().0);
    let kind = json!({ "osType": "Linux", "osState": "Generalized", "hyperVGeneration": "V1", "architecture": "Arm64" });
    azure
        .put(&definition, GALLERIES, json!({ "location": "westeurope", "properties": kind }))
        .await;
    let found = told(&azure, &[image("1.0.0")]).await;
    assert!(
        found.contains("hyperVGeneration is V1") && found.contains("architecture is Arm64"),
        "{found}"
    );
}

#[tokio::test(start_paused = true)]
async fn room_that_somebody_else_reserved_stays() {
    let azure = Azure::new().await;
    bring_room(&azure, "West Europe").await;
    let cluster = azure.provider(Value::Null, None).cluster();
    let (mut instance, declared) = (Instance::default(), config(&[]));
    apply(&cluster, &mut instance, Some(&declared), Options::default()).await.unwrap();
    let id = Azure::cluster_id().resource(Kind::ScaleSet.resource_type(), "demo-server-0");
    let group = "/properties/virtualMachineProfile/capacityReservation/capacityReservationGroup/id";
    let mut body = azure.object(&id).unwrap();
    body["properties"]["virtualMachineProfile"]["capacityReservation"] =
        json!({ "capacityReservationGroup": { "id": reservation_group("room") } });
    body.as_object_mut().unwrap().remove("emulator");
    azure.put(&id, Kind::ScaleSet.api_version(), body).await;
    let before = azure.object(&id).unwrap();
    assert!(before.pointer(group).is_some(), "{before}");
    for config in [config(&[("tags", Value::map([("a", Value::from("b"))]))]), declared] {
        apply(&cluster, &mut instance, Some(&config), Options::default()).await.unwrap();
        let after = azure.object(&id).unwrap();
        assert_eq!(after.pointer(group), before.pointer(group), "{after}");
        assert_eq!(after["properties"]["uniqueId"], before["properties"]["uniqueId"]);
    }
}
