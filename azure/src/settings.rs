//! What a user says about their Azure account, in the words of the azurerm provider.

use std::path::PathBuf;

use crate::error::ConnectError;
use crate::secret::Secret;

/// Settings of one connection. What the configuration leaves open, the environment may fill.
#[derive(Clone, Debug, Default)]
pub struct AzureSettings {
    /// Subscription that holds the clusters.
    pub subscription_id: Option<String>,
    /// Entra tenant of the principal.
    pub tenant_id: Option<String>,
    /// Other tenants that know the principal, in which peers live.
    pub auxiliary_tenant_ids: Vec<String>,
    /// Whether they come from the environment, where they may be meant for another provider.
    pub auxiliary_tenant_ids_from_environment: bool,
    /// Application (client) id of the principal.
    pub client_id: Option<String>,
    /// Password of the application.
    pub client_secret: Option<Secret>,
    /// File that holds the client id.
    pub client_id_file_path: Option<PathBuf>,
    /// File that holds the client secret.
    pub client_secret_file_path: Option<PathBuf>,
    /// Certificate and private key of the application: a PKCS#12 archive or PEM, in base64.
    pub client_certificate: Option<Secret>,
    /// File that holds them, as a PKCS#12 archive or PEM.
    pub client_certificate_path: Option<PathBuf>,
    /// Password of the PKCS#12 archive.
    pub client_certificate_password: Option<Secret>,
    /// Whether the Azure CLI may be asked; on when unset.
    pub use_cli: Option<bool>,
    /// Whether the managed identity of this machine may be asked.
    pub use_msi: Option<bool>,
    /// Address of the instance metadata service.
    pub msi_endpoint: Option<String>,
    /// What App Service wants to see with each request to [`Self::msi_endpoint`].
    pub msi_identity_header: Option<Secret>,
    /// Whether a federated (OIDC) token is exchanged.
    pub use_oidc: Option<bool>,
    /// The federated token.
    pub oidc_token: Option<Secret>,
    /// File that holds the federated token; read anew for every exchange.
    pub oidc_token_file_path: Option<PathBuf>,
    /// URL that hands out federated tokens (GitHub Actions).
    pub oidc_request_url: Option<String>,
    /// Bearer token for `oidc_request_url`.
    pub oidc_request_token: Option<Secret>,
    /// Service connection of an Azure DevOps pipeline; then `oidc_request_url` is that pipeline's.
    pub ado_pipeline_service_connection_id: Option<String>,
    /// Whether AKS workload identity is used.
    pub use_aks_workload_identity: Option<bool>,
    /// `public`, `usgovernment` or `china`.
    pub environment: Option<String>,
    /// Host that describes another Azure environment.
    pub metadata_host: Option<String>,
}

impl AzureSettings {
    /// Fills what is unset from environment variables; an empty variable counts as unset.
    pub fn merge_env(&mut self, get: impl Fn(&str) -> Option<String>) -> Result<(), ConnectError> {
        let get = |name: &str| get(name).filter(|value| !value.trim().is_empty());
        let any = |names: &[&str]| names.iter().find_map(|name| get(name));
        let secret = |names: &[&str]| any(names).map(Secret::from);
        let path = |name: &str| get(name).map(PathBuf::from);

        fill(&mut self.subscription_id, || get("ARM_SUBSCRIPTION_ID"));
        fill(&mut self.tenant_id, || get("ARM_TENANT_ID"));
        if self.auxiliary_tenant_ids.is_empty() {
            let text = get("ARM_AUXILIARY_TENANT_IDS").unwrap_or_default();
            let ids = text.split(';').map(str::trim).filter(|id| !id.is_empty());
            self.auxiliary_tenant_ids = ids.map(str::to_owned).collect();
            self.auxiliary_tenant_ids_from_environment = true;
        }
        fill(&mut self.client_id, || get("ARM_CLIENT_ID"));
        fill(&mut self.client_secret, || secret(&["ARM_CLIENT_SECRET"]));
        fill(&mut self.client_id_file_path, || path("ARM_CLIENT_ID_FILE_PATH"));
        fill(&mut self.client_secret_file_path, || path("ARM_CLIENT_SECRET_FILE_PATH"));
        fill(&mut self.client_certificate, || secret(&["ARM_CLIENT_CERTIFICATE"]));
        fill(&mut self.client_certificate_path, || path("ARM_CLIENT_CERTIFICATE_PATH"));
        fill(&mut self.client_certificate_password, || {
            secret(&["ARM_CLIENT_CERTIFICATE_PASSWORD"])
        });
        fill(&mut self.msi_endpoint, || get("ARM_MSI_ENDPOINT"));
        // App Service gives both to its own; the header's value goes nowhere else.
        let app_service = get("IDENTITY_ENDPOINT").zip(get("IDENTITY_HEADER"));
        if let Some((endpoint, header)) = app_service
            && self.msi_endpoint.as_ref().is_none_or(|own| *own == endpoint)
        {
            self.msi_endpoint = Some(endpoint);
            fill(&mut self.msi_identity_header, || Some(Secret::from(header)));
        }
        fill(&mut self.oidc_token, || secret(&["ARM_OIDC_TOKEN"]));
        fill(&mut self.oidc_token_file_path, || path("ARM_OIDC_TOKEN_FILE_PATH"));
        fill(&mut self.oidc_request_url, || {
            any(&["ARM_OIDC_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_URL", "SYSTEM_OIDCREQUESTURI"])
        });
        fill(&mut self.oidc_request_token, || {
            secret(&[
                "ARM_OIDC_REQUEST_TOKEN",
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
                "SYSTEM_ACCESSTOKEN",
            ])
        });
        fill(&mut self.ado_pipeline_service_connection_id, || {
            any(&["ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID", "ARM_OIDC_AZURE_SERVICE_CONNECTION_ID"])
        });
        fill(&mut self.environment, || get("ARM_ENVIRONMENT"));
        fill(&mut self.metadata_host, || any(&["ARM_METADATA_HOSTNAME", "ARM_METADATA_HOST"]));
        for (field, attribute, variable) in [
            (&mut self.use_cli, "use_cli", "ARM_USE_CLI"),
            (&mut self.use_msi, "use_msi", "ARM_USE_MSI"),
            (&mut self.use_oidc, "use_oidc", "ARM_USE_OIDC"),
            (
                &mut self.use_aks_workload_identity,
                "use_aks_workload_identity",
                "ARM_USE_AKS_WORKLOAD_IDENTITY",
            ),
        ] {
            if field.is_none() {
                *field = get(variable).map(|v| boolean(attribute, variable, &v)).transpose()?;
            }
        }
        // AKS injects these into pods; they mean nothing to us unless workload identity is asked for.
        if self.use_aks_workload_identity == Some(true) {
            fill(&mut self.tenant_id, || get("AZURE_TENANT_ID"));
            fill(&mut self.client_id, || get("AZURE_CLIENT_ID"));
            fill(&mut self.oidc_token_file_path, || path("AZURE_FEDERATED_TOKEN_FILE"));
        }
        Ok(())
    }

    /// Every secret in here, for the cleaning of texts.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = Secret> {
        [
            &self.client_secret,
            &self.client_certificate,
            &self.client_certificate_password,
            &self.oidc_token,
            &self.oidc_request_token,
            &self.msi_identity_header,
        ]
        .into_iter()
        .flatten()
        .cloned()
        .collect::<Vec<_>>()
        .into_iter()
    }
}

fn fill<T>(field: &mut Option<T>, value: impl FnOnce() -> Option<T>) {
    if field.is_none() {
        *field = value();
    }
}

fn boolean(attribute: &'static str, variable: &str, text: &str) -> Result<bool, ConnectError> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "t" | "true" => Ok(true),
        "0" | "f" | "false" => Ok(false),
        _ => Err(ConnectError::InvalidSetting {
            attribute,
            reason: format!("{variable} must be true or false, not {text:?}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn merged(settings: AzureSettings, env: &[(&str, &str)]) -> AzureSettings {
        let env: HashMap<_, _> = env.iter().copied().collect();
        let mut settings = settings;
        settings.merge_env(|name| env.get(name).map(|v| (*v).to_owned())).unwrap();
        settings
    }

    #[test]
    fn every_text_variable_fills_its_setting() {
        type Read = fn(&AzureSettings) -> Option<String>;
        let table: [(&str, Read); 23] = [
            ("ARM_AUXILIARY_TENANT_IDS", |s| s.auxiliary_tenant_ids.first().cloned()),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", |s| {
                s.oidc_request_token.as_ref().map(|s| s.expose().into())
            }),
            ("SYSTEM_OIDCREQUESTURI", |s| s.oidc_request_url.clone()),
            ("SYSTEM_ACCESSTOKEN", |s| s.oidc_request_token.as_ref().map(|s| s.expose().into())),
            ("ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID", |s| {
                s.ado_pipeline_service_connection_id.clone()
            }),
            ("ARM_OIDC_AZURE_SERVICE_CONNECTION_ID", |s| {
                s.ado_pipeline_service_connection_id.clone()
            }),
            ("ARM_SUBSCRIPTION_ID", |s| s.subscription_id.clone()),
            ("ARM_TENANT_ID", |s| s.tenant_id.clone()),
            ("ARM_CLIENT_ID", |s| s.client_id.clone()),
            ("ARM_CLIENT_SECRET", |s| s.client_secret.as_ref().map(|s| s.expose().into())),
            ("ARM_CLIENT_ID_FILE_PATH", |s| text(s.client_id_file_path.as_ref())),
            ("ARM_CLIENT_SECRET_FILE_PATH", |s| text(s.client_secret_file_path.as_ref())),
            ("ARM_CLIENT_CERTIFICATE", |s| {
                s.client_certificate.as_ref().map(|s| s.expose().into())
            }),
            ("ARM_CLIENT_CERTIFICATE_PATH", |s| text(s.client_certificate_path.as_ref())),
            ("ARM_CLIENT_CERTIFICATE_PASSWORD", |s| {
                s.client_certificate_password.as_ref().map(|s| s.expose().into())
            }),
            ("ARM_MSI_ENDPOINT", |s| s.msi_endpoint.clone()),
            ("ARM_OIDC_TOKEN", |s| s.oidc_token.as_ref().map(|s| s.expose().into())),
            ("ARM_OIDC_TOKEN_FILE_PATH", |s| text(s.oidc_token_file_path.as_ref())),
            ("ACTIONS_ID_TOKEN_REQUEST_URL", |s| s.oidc_request_url.clone()),
            ("ARM_OIDC_REQUEST_TOKEN", |s| {
                s.oidc_request_token.as_ref().map(|s| s.expose().into())
            }),
            ("ARM_ENVIRONMENT", |s| s.environment.clone()),
            ("ARM_METADATA_HOSTNAME", |s| s.metadata_host.clone()),
            ("ARM_METADATA_HOST", |s| s.metadata_host.clone()),
        ];
        for (variable, read) in table {
            let settings = merged(AzureSettings::default(), &[(variable, "value")]);
            assert_eq!(read(&settings).as_deref(), Some("value"), "{variable}");
        }
        let several = [("ARM_AUXILIARY_TENANT_IDS", "one; two;")];
        assert_eq!(merged(AzureSettings::default(), &several).auxiliary_tenant_ids, ["one", "two"]);
    }

    fn text(path: Option<&PathBuf>) -> Option<String> {
        path.map(|p| p.display().to_string())
    }

    #[test]
    fn app_services_header_goes_to_app_services_endpoint_only() {
        let both = [("IDENTITY_ENDPOINT", "http://localhost:1/msi"), ("IDENTITY_HEADER", "h")];
        let settings = merged(AzureSettings::default(), &both);
        assert_eq!(settings.msi_endpoint.as_deref(), Some("http://localhost:1/msi"));
        assert!(settings.msi_identity_header.is_some());
        let other = [both[0], both[1], ("ARM_MSI_ENDPOINT", "http://169.254.169.254")];
        let settings = merged(AzureSettings::default(), &other);
        assert_eq!(settings.msi_endpoint.as_deref(), Some("http://169.254.169.254"));
        assert!(settings.msi_identity_header.is_none());
        assert!(merged(AzureSettings::default(), &both[..1]).msi_endpoint.is_none());
    }

    #[test]
    fn every_switch_is_read() {
        type Read = fn(&AzureSettings) -> Option<bool>;
        let table: [(&str, Read); 4] = [
            ("ARM_USE_CLI", |s| s.use_cli),
            ("ARM_USE_MSI", |s| s.use_msi),
            ("ARM_USE_OIDC", |s| s.use_oidc),
            ("ARM_USE_AKS_WORKLOAD_IDENTITY", |s| s.use_aks_workload_identity),
        ];
        for (variable, read) in table {
            for (value, wanted) in [("true", true), ("1", true), ("False", false), ("0", false)] {
                let settings = merged(AzureSettings::default(), &[(variable, value)]);
                assert_eq!(read(&settings), Some(wanted), "{variable}={value}");
            }
        }
    }

    #[test]
    fn the_configuration_beats_the_environment_and_empty_is_unset() {
        let settings = AzureSettings {
            client_id: Some("configured".into()),
            use_cli: Some(false),
            ..Default::default()
        };
        let env = [("ARM_CLIENT_ID", "env"), ("ARM_USE_CLI", "true"), ("ARM_SUBSCRIPTION_ID", " ")];
        let settings = merged(settings, &env);
        assert_eq!(settings.client_id.as_deref(), Some("configured"));
        assert_eq!(settings.use_cli, Some(false));
        assert_eq!(settings.subscription_id, None);
    }

    #[test]
    fn a_switch_that_is_no_boolean_is_told_by_name() {
        let error = AzureSettings::default()
            .merge_env(|name| (name == "ARM_USE_MSI").then(|| "yes please".into()))
            .unwrap_err();
        assert_eq!(error.attribute(), Some("use_msi"));
        assert!(error.to_string().contains("ARM_USE_MSI"));
    }

    #[test]
    fn pod_variables_count_only_for_workload_identity() {
        let pod = [
            ("AZURE_TENANT_ID", "t"),
            ("AZURE_CLIENT_ID", "c"),
            ("AZURE_FEDERATED_TOKEN_FILE", "/var/token"),
        ];
        let without = merged(AzureSettings::default(), &pod);
        assert_eq!((without.tenant_id, without.oidc_token_file_path), (None, None));
        let asked = AzureSettings { use_aks_workload_identity: Some(true), ..Default::default() };
        let with = merged(asked, &pod);
        assert_eq!(with.tenant_id.as_deref(), Some("t"));
        assert_eq!(with.client_id.as_deref(), Some("c"));
        assert_eq!(text(with.oidc_token_file_path.as_ref()).as_deref(), Some("/var/token"));
    }

    #[test]
    fn debug_shows_no_secret() {
        let env: Vec<_> = [
            "ARM_CLIENT_SECRET",
            "ARM_OIDC_TOKEN",
            "ARM_OIDC_REQUEST_TOKEN",
            "ARM_CLIENT_CERTIFICATE",
            "ARM_CLIENT_CERTIFICATE_PASSWORD",
            "IDENTITY_ENDPOINT",
            "IDENTITY_HEADER",
        ]
        .map(|name| (name, "canary"))
        .to_vec();
        let settings = merged(AzureSettings::default(), &env);
        let told = format!("{:?}", AzureSettings { msi_endpoint: None, ..settings.clone() });
        assert!(!told.contains("canary"), "{told}");
        assert_eq!(settings.secrets().count(), 6);
    }
}
