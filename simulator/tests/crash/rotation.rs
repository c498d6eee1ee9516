//! Secrets are asked for anew beside any declaration, killed at any call.

use hcs_engine::blob::BlobStore;
use hcs_engine::reconcile::Intent;
use hcs_planner::dataplane::{ClusterDocument, blob, container};
use hcs_planner::rotation::Rotated;
use hcs_simulator::CallFault;

use crate::world::{Azure, End, Kill, spec};

/// Every version that the document names is there.
async fn is_whole(azure: &Azure, store: &dyn BlobStore) -> ClusterDocument {
    let document: ClusterDocument = serde_json::from_value(azure.document()).unwrap();
    for (word, rotation) in &document.rotations {
        let (shared, certificates) = (container::SECRETS_SHARED, container::CERTIFICATES);
        let named = match Rotated::of(word).unwrap() {
            Rotated::GossipKey => vec![(shared.to_owned(), blob::GOSSIP_KEY)],
            Rotated::ManagementToken => vec![(shared.to_owned(), blob::MANAGEMENT_TOKEN)],
            Rotated::CertificateAuthority => {
                vec![
                    (shared.to_owned(), blob::CA_KEY),
                    (certificates.to_owned(), blob::CA_CERTIFICATE),
                ]
            }
            Rotated::AgentTokens => {
                (0..3).map(|slot| (container::secrets(slot), blob::AGENT_TOKEN)).collect()
            }
            Rotated::ClientToken => vec![],
        };
        for (container, name) in named {
            let name = rotation.version.blob(name);
            let found = store.get(&container, &name).await.unwrap();
            assert!(found.is_some(), "{container}/{name} is named and not there");
        }
    }
    document
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_killed_at_any_call_asks_for_all_or_nothing_and_touches_nothing_else() {
    let azure = Azure::new().await;
    assert_eq!(azure.apply(&spec(3), Intent::Create, None).await, End::Complete);
    let (store, secrets) = (azure.store(), azure.secrets());
    let (mut killed, mut asked) = (0, 0);
    for at in 0..40 {
        for fault in [CallFault::KillBefore, CallFault::KillAfter] {
            let before = is_whole(&azure, store.as_ref()).await.rotations;
            let end = azure.rotate(&Rotated::ALL, Some(Kill { at, fault })).await;
            killed += usize::from(end == End::Killed);
            let after = is_whole(&azure, store.as_ref()).await.rotations;
            let changed =
                Rotated::ALL.map(|what| before.get(what.as_str()) != after.get(what.as_str()));
            assert!(changed == [true; 5] || changed == [false; 5], "{at} {fault:?}: {changed:?}");
            asked += usize::from(changed[0]);
        }
    }
    assert!(killed > 30 && asked > 10 && asked < 80, "killed {killed}, asked {asked}");
    assert_eq!(azure.rotate(&[Rotated::GossipKey], None).await, End::Complete);
    let now = azure.secrets();
    assert!(
        secrets.iter().all(|(name, bytes)| now.get(name) == Some(bytes)),
        "nothing is written over"
    );
    assert!(azure.plan(&spec(3)).await.is_empty(), "no declaration changed");
}
