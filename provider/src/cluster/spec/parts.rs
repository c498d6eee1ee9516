//! Inputs of several parts, there and back.

use std::collections::BTreeMap;

use hcs_planner::arm::ArmId;
use hcs_planner::customer_key::{CustomerManagedKey, KeyUser};
use hcs_planner::maintenance::{Exclusion, Scope, Window};
use hcs_planner::roles::Identities;
use hcs_planner::rotation::Rotated;
use hcs_planner::spec::{
    ArtifactSource, ClusterSpec, ImagePlan, ImageReference, LockLevel, defaults,
};
use tfplugin::typed::Content as _;
use tfplugin::{Attr, Value, parse_duration};

use super::{hours, known, set, some, written};
use crate::cluster::model::{self, Cluster};

impl model::Identities {
    pub(in crate::cluster) fn to_spec(&self) -> Result<Identities, String> {
        let within = |name: String| format!("{}.{name}", Cluster::IDENTITIES);
        let ids = known(&self.server_ids, Self::SERVER_IDS).map_err(within)?;
        Ok(Identities {
            shared_id: ArmId::new(known(&self.shared_id, Self::SHARED_ID).map_err(within)?),
            server_ids: ids.into_iter().map(ArmId::new).collect(),
        })
    }
}

pub(super) fn identities(identities: &Identities) -> model::Identities {
    model::Identities {
        shared_id: identities.shared_id.to_string().into(),
        server_ids: written(&identities.server_ids).into(),
    }
}

impl model::MaintenanceWindow {
    /// With what a configuration would be given.
    pub(crate) fn with_defaults(self) -> Self {
        let or = |own: Attr<String>, other: &str| if own.is_null() { other.into() } else { own };
        Self { time_zone: or(self.time_zone, "UTC"), ..self }
    }

    pub(crate) fn to_spec(&self) -> Result<Window, String> {
        let duration = known(&self.duration, Self::DURATION)?;
        let duration = parse_duration(&duration).map_err(|_| Self::DURATION.to_owned())?;
        Ok(Window {
            days: some(&self.days, Self::DAYS)?,
            start: known(&self.start, Self::START)?,
            duration_seconds: duration.as_secs(),
            time_zone: known(&self.time_zone, Self::TIME_ZONE)?,
        })
    }
}

pub(super) fn window(window: &Window) -> model::MaintenanceWindow {
    model::MaintenanceWindow {
        days: window.days.clone().into(),
        start: window.start.as_str().into(),
        duration: hours(window.duration_seconds).into(),
        time_zone: window.time_zone.as_str().into(),
    }
}

impl model::MaintenanceExclusion {
    pub(super) fn to_spec(&self) -> Result<Exclusion, String> {
        let scope = known(&self.scope, Self::SCOPE)?;
        let named = |(word, _): &(&str, Scope)| scope == *word;
        Ok(Exclusion {
            start: known(&self.start, Self::START)?,
            end: known(&self.end, Self::END)?,
            scope: Scope::WORDS.into_iter().find(named).map_or(Scope::All, |(_, one)| one),
        })
    }
}

pub(super) fn exclusion(exclusion: &Exclusion) -> model::MaintenanceExclusion {
    model::MaintenanceExclusion {
        start: exclusion.start.as_str().into(),
        end: exclusion.end.as_str().into(),
        scope: exclusion.scope.as_str().into(),
    }
}

impl model::Lock {
    pub(super) fn to_spec(&self) -> Result<(LockLevel, String), String> {
        let within = |name: String| format!("{}.{name}", Cluster::LOCK);
        let kind = known(&self.kind, Self::KIND).map_err(within)?;
        let is_none = kind == LockLevel::None.as_str();
        let kind = if is_none { LockLevel::None } else { LockLevel::CanNotDelete };
        Ok((kind, known(&self.name, Self::NAME).map_err(within)?))
    }

    /// The lock where nothing is said.
    pub(in crate::cluster) fn default_value() -> Value {
        lock(LockLevel::CanNotDelete, defaults::LOCK_NAME).write()
    }
}

pub(super) fn lock(kind: LockLevel, name: &str) -> model::Lock {
    model::Lock { kind: kind.as_str().into(), name: name.into() }
}

impl model::RotationTriggers {
    pub(super) fn to_spec(&self) -> Result<BTreeMap<Rotated, String>, String> {
        let mut triggers = BTreeMap::new();
        for (what, word, name) in [
            (Rotated::GossipKey, &self.gossip_key, Self::GOSSIP_KEY),
            (Rotated::AgentTokens, &self.agent_tokens, Self::AGENT_TOKENS),
            (Rotated::ManagementToken, &self.management_token, Self::MANAGEMENT_TOKEN),
            (Rotated::ClientToken, &self.client_token, Self::CLIENT_TOKEN),
            (
                Rotated::CertificateAuthority,
                &self.certificate_authority,
                Self::CERTIFICATE_AUTHORITY,
            ),
        ] {
            let word =
                set(word, name).map_err(|name| format!("{}.{name}", Cluster::ROTATION_TRIGGERS))?;
            triggers.extend(word.map(|word| (what, word)));
        }
        Ok(triggers)
    }
}

pub(super) fn rotation_triggers(spec: &ClusterSpec) -> model::RotationTriggers {
    let word = |what| spec.rotation_triggers.get(&what).cloned().into();
    model::RotationTriggers {
        gossip_key: word(Rotated::GossipKey),
        agent_tokens: word(Rotated::AgentTokens),
        management_token: word(Rotated::ManagementToken),
        client_token: word(Rotated::ClientToken),
        certificate_authority: word(Rotated::CertificateAuthority),
    }
}

/// The `timeouts` block as an import restores it.
pub(crate) fn timeouts(spec: &ClusterSpec) -> Value {
    let Some(timeouts) = &spec.timeouts else { return Value::Null };
    let text = |name: &str| Value::from(timeouts.get(name).cloned());
    Value::object(["create", "update", "delete"].map(|name| (name, text(name))))
}

impl model::Image {
    pub(in crate::cluster) fn to_spec(&self) -> Result<ImageReference, String> {
        let within = |name: &str| format!("{}.{name}", Cluster::IMAGE);
        Ok(ImageReference {
            publisher: known(&self.publisher, Self::PUBLISHER).map_err(|name| within(&name))?,
            offer: known(&self.offer, Self::OFFER).map_err(|name| within(&name))?,
            sku: known(&self.sku, Self::SKU).map_err(|name| within(&name))?,
            version: known(&self.version, Self::VERSION).map_err(|name| within(&name))?,
        })
    }
}

impl model::ImagePlan {
    pub(in crate::cluster) fn to_spec(&self) -> Result<ImagePlan, String> {
        let within = |name: &str| format!("{}.{name}", Cluster::IMAGE_PLAN);
        Ok(ImagePlan {
            publisher: known(&self.publisher, Self::PUBLISHER).map_err(|name| within(&name))?,
            product: known(&self.product, Self::PRODUCT).map_err(|name| within(&name))?,
            name: known(&self.name, Self::NAME).map_err(|name| within(&name))?,
        })
    }
}

pub(super) fn image_plan(plan: &ImagePlan) -> model::ImagePlan {
    model::ImagePlan {
        publisher: plan.publisher.clone().into(),
        product: plan.product.clone().into(),
        name: plan.name.clone().into(),
    }
}

/// An image as an attribute.
pub(in crate::cluster) fn image(image: &ImageReference) -> model::Image {
    model::Image {
        publisher: image.publisher.clone().into(),
        offer: image.offer.clone().into(),
        sku: image.sku.clone().into(),
        version: image.version.clone().into(),
    }
}

impl model::CustomerManagedKey {
    pub(super) fn to_spec(&self) -> Result<CustomerManagedKey, String> {
        let within = |name: &str| format!("{}.{name}", Cluster::CUSTOMER_MANAGED_KEY);
        let id = |text| ArmId::new(text);
        let user = Self::USER_ASSIGNED_IDENTITY;
        Ok(CustomerManagedKey {
            key_vault_id: known(&self.key_vault_resource_id, Self::KEY_VAULT_RESOURCE_ID)
                .map_err(|name| within(&name))
                .map(id)?,
            key_name: known(&self.key_name, Self::KEY_NAME).map_err(|name| within(&name))?,
            key_version: set(&self.key_version, Self::KEY_VERSION).map_err(|name| within(&name))?,
            user: KeyUser {
                identity_id: known(&self.user_assigned_identity, user)
                    .and_then(|user| known(&user.resource_id, model::KeyUser::RESOURCE_ID))
                    .map_err(|name| within(&name))
                    .map(id)?,
            },
        })
    }
}

pub(super) fn customer_managed_key(key: &CustomerManagedKey) -> model::CustomerManagedKey {
    model::CustomerManagedKey {
        key_vault_resource_id: key.key_vault_id.to_string().into(),
        key_name: key.key_name.clone().into(),
        key_version: key.key_version.clone().into(),
        user_assigned_identity: model::KeyUser {
            resource_id: key.user.identity_id.to_string().into(),
        }
        .into(),
    }
}

impl model::ArtifactSource {
    pub(super) fn to_spec(&self) -> Result<ArtifactSource, String> {
        let within = |name: &str| format!("{}.{name}", Cluster::ARTIFACT_SOURCE);
        Ok(ArtifactSource {
            location: known(&self.location, Self::LOCATION).map_err(|name| within(&name))?,
            sha256: set(&self.sha256, Self::SHA256).map_err(|name| within(&name))?,
        })
    }
}

pub(super) fn artifact_source(source: &ArtifactSource) -> model::ArtifactSource {
    model::ArtifactSource {
        location: source.location.clone().into(),
        sha256: source.sha256.clone().into(),
    }
}
