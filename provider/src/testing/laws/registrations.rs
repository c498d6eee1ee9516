//! A subscription that has never seen a cluster: what it lacks is told while planning, or made by the apply, as the user
//! says.

use hcs_simulator::Settings;
use tfplugin::Value;

use crate::client::Registrations;
use crate::testing::core::{Failure, Instance, Options, apply, plan};
use crate::testing::{Azure, demo};

/// An Azure without these resource providers.
async fn without(namespaces: &[&str]) -> Azure {
    let azure = Azure::new().await;
    for namespace in namespaces {
        let subscription = Settings::default().subscription_id;
        let path = format!("/subscriptions/{subscription}/providers/{namespace}/unregister");
        azure.post(&path, "2021-04-01").await;
    }
    azure
}

#[tokio::test(start_paused = true)]
async fn each_provider_that_is_missing_is_told_by_name_with_its_command_before_anything_is_made() {
    let config = demo([("location", "westeurope".into())]);
    for namespace in hcs_engine::registration::NEEDED {
        let azure = without(&[namespace]).await;
        let provider = azure.provider(Value::Null, None);
        // Another resource of the same run may register it: a plan only warns.
        let planned = plan(&provider.cluster(), &Value::Null, &[], &config).await.unwrap();
        let warned = format!("{:?}", planned.diagnostics);
        assert!(warned.contains(&format!("--namespace {namespace}")), "{warned}");
        let mut instance = Instance::default();
        let outcome =
            apply(&provider.cluster(), &mut instance, Some(&config), Options::default()).await;
        let Err(Failure::Told(told)) = outcome else { panic!("{namespace} was not missed") };
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(&format!("--namespace {namespace}")), "{told:?}");
        assert_eq!(provider.writes(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn core_registers_what_is_missing_at_a_create_and_plans_write_nothing() {
    let mut azure = without(&["Microsoft.Compute", "Microsoft.ManagedIdentity"]).await;
    azure.registrations = Registrations::Core;
    let provider = azure.provider(Value::Null, None);
    let config = demo([("location", "westeurope".into())]);
    plan(&provider.cluster(), &Value::Null, &[], &config).await.unwrap();
    assert_eq!(provider.writes(), 0, "a plan registers nothing");
    let mut instance = Instance::default();
    apply(&provider.cluster(), &mut instance, Some(&config), Options::default()).await.unwrap();
    assert!(instance.current.is_some());
    // Registered now, whoever looks.
    azure.registrations = Registrations::None;
    let provider = azure.provider(Value::Null, None);
    plan(&provider.cluster(), &Value::Null, &[], &config).await.unwrap();
}
