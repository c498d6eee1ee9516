//! Which ways to a token the settings open, and in which order.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::TokenCredential;
use azure_core::http::ClientOptions;
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions,
    ClientSecretCredential, ClientSecretCredentialOptions,
};
use url::Url;

use super::assertion::{AssertionFile, AssertionText, AssertionUrl};
use super::certificate::{CertificateSource, SignedAssertion};
use super::{Make, Way, cli};
use crate::http::HttpClient;
use crate::msi::{DEFAULT_ENDPOINT, Identity, ManagedIdentity};
use crate::secret::Secret;
use crate::settings::AzureSettings;

const ENTRA_TIMEOUT: Duration = Duration::from_secs(45);
const MSI_TIMEOUT: Duration = Duration::from_secs(15);

/// The ways to a token, in azurerm's order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A certificate of the application.
    ClientCertificate,
    /// A password of the application.
    ClientSecret,
    /// A federated token, from a setting, a file, a URL or AKS.
    Oidc,
    /// The managed identity of this machine.
    ManagedIdentity,
    /// The login of the Azure CLI.
    AzureCli,
}

impl Method {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientCertificate => "client certificate",
            Self::ClientSecret => "client secret",
            Self::Oidc => "OIDC",
            Self::ManagedIdentity => "managed identity",
            Self::AzureCli => "Azure CLI",
        }
    }
}

/// What the ways need besides the settings.
#[derive(Clone, Debug)]
pub struct PlanContext {
    /// Where tokens come from.
    pub authority: Url,
    /// The shared connections.
    pub http: HttpClient,
}

/// Who an application's token is asked for.
#[derive(Clone)]
struct Application {
    tenant_id: String,
    client_id: String,
}

pub(super) fn ways(settings: &AzureSettings, context: &PlanContext) -> (Vec<Way>, Vec<Method>) {
    let planned = [
        (Method::ClientCertificate, certificate(settings, context)),
        (Method::ClientSecret, secret(settings, context)),
        (Method::Oidc, oidc(settings, context)),
        (Method::ManagedIdentity, managed_identity(settings)),
        (Method::AzureCli, azure_cli(settings)),
    ];
    let mut ways = Vec::new();
    let mut not_configured = Vec::new();
    for (method, way) in planned {
        match way {
            Some(way) => ways.push(way),
            None => not_configured.push(method),
        }
    }
    (ways, not_configured)
}

fn certificate(settings: &AzureSettings, context: &PlanContext) -> Option<Way> {
    let inline = settings.client_certificate.clone().map(CertificateSource::Base64);
    let file = settings.client_certificate_path.clone().map(CertificateSource::File);
    let attribute = if inline.is_some() { "client_certificate" } else { "client_certificate_path" };
    let source = inline.or(file)?;
    let (context, settings) = (context.clone(), settings.clone());
    let subject = subject("client certificate", &settings);
    let make: Make = Box::new(move || {
        let application = application(&settings)?;
        let endpoint = token_endpoint(&context.authority, &application.tenant_id)?;
        let id = application.client_id.clone();
        let assertion = SignedAssertion::load(
            &source,
            settings.client_certificate_password.as_ref(),
            id,
            endpoint,
        )?;
        asserted(application, assertion, &context)
    });
    let method = Method::ClientCertificate;
    Some(Way { method, subject, attribute: Some(attribute), timeout: ENTRA_TIMEOUT, make })
}

fn secret(settings: &AzureSettings, context: &PlanContext) -> Option<Way> {
    let inline = settings.client_secret.clone();
    let file = settings.client_secret_file_path.clone();
    let attribute = match (&inline, &file) {
        (Some(_), _) => "client_secret",
        (None, Some(_)) => "client_secret_file_path",
        (None, None) => return None,
    };
    let (context, settings) = (context.clone(), settings.clone());
    let subject = subject("client secret", &settings);
    let make: Make = Box::new(move || {
        let application = application(&settings)?;
        let secret = match (&inline, &file) {
            (Some(secret), _) => secret.clone(),
            (None, Some(path)) => Secret::from(read_line(path)?),
            (None, None) => return Err("there is no secret".to_owned()),
        };
        let options = ClientSecretCredentialOptions { client_options: entra_options(&context) };
        let secret = azure_core::credentials::Secret::new(secret.expose().to_owned());
        let Application { tenant_id, client_id } = application;
        let made = ClientSecretCredential::new(&tenant_id, client_id, secret, Some(options));
        made.map(erase).map_err(|error| error.to_string())
    });
    let method = Method::ClientSecret;
    Some(Way { method, subject, attribute: Some(attribute), timeout: ENTRA_TIMEOUT, make })
}

enum Federated {
    Text(Secret),
    File(PathBuf),
    Url(String, Secret),
    Nothing,
}

fn oidc(settings: &AzureSettings, context: &PlanContext) -> Option<Way> {
    let aks = settings.use_aks_workload_identity == Some(true);
    if settings.use_oidc != Some(true) && !aks {
        return None;
    }
    let url = settings.oidc_request_url.clone().zip(settings.oidc_request_token.clone());
    let (words, attribute, source) = match (&settings.oidc_token, &settings.oidc_token_file_path) {
        (Some(token), _) => ("OIDC token", "oidc_token", Federated::Text(token.clone())),
        (None, Some(path)) => {
            let words = if aks { "AKS workload identity" } else { "OIDC token file" };
            (words, "oidc_token_file_path", Federated::File(path.clone()))
        }
        (None, None) => match url {
            Some((url, token)) => ("OIDC request", "oidc_request_url", Federated::Url(url, token)),
            None if aks => {
                ("AKS workload identity", "use_aks_workload_identity", Federated::Nothing)
            }
            None => ("OIDC", "oidc_token_file_path", Federated::Nothing),
        },
    };
    let (context, settings) = (context.clone(), settings.clone());
    let subject = subject(words, &settings);
    let make: Make = Box::new(move || {
        let application = application(&settings)?;
        match &source {
            Federated::Text(token) => asserted(application, AssertionText(token.clone()), &context),
            Federated::File(path) => asserted(application, AssertionFile(path.clone()), &context),
            Federated::Url(url, token) => {
                let connection = settings.ado_pipeline_service_connection_id.as_deref();
                let http = context.http.clone();
                let assertion = AssertionUrl::new(url, token.clone(), connection, http)?;
                asserted(application, assertion, &context)
            }
            Federated::Nothing if aks => {
                Err("no token file (AZURE_FEDERATED_TOKEN_FILE) is there".to_owned())
            }
            Federated::Nothing => Err(
                "neither oidc_token, oidc_token_file_path nor oidc_request_url with oidc_request_token is set"
                    .to_owned(),
            ),
        }
    });
    let method = Method::Oidc;
    Some(Way { method, subject, attribute: Some(attribute), timeout: ENTRA_TIMEOUT, make })
}

fn managed_identity(settings: &AzureSettings) -> Option<Way> {
    if settings.use_msi != Some(true) {
        return None;
    }
    let endpoint = settings.msi_endpoint.clone().unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
    let identity = settings.client_id.clone().map_or(Identity::Default, Identity::ClientId);
    let header = settings.msi_identity_header.clone();
    let subject = match &identity {
        Identity::ClientId(id) => format!("managed identity {id}"),
        _ => "managed identity".to_owned(),
    };
    let make: Make = Box::new(move || {
        let made = ManagedIdentity::with_identity(&endpoint, identity.clone());
        let made = made.map(|msi| match header.clone() {
            Some(header) => msi.in_app_service(header),
            None => msi,
        });
        made.map(|msi| erase(Arc::new(msi))).map_err(|error| error.to_string())
    });
    let method = Method::ManagedIdentity;
    Some(Way { method, subject, attribute: Some("use_msi"), timeout: MSI_TIMEOUT, make })
}

fn azure_cli(settings: &AzureSettings) -> Option<Way> {
    if settings.use_cli == Some(false) {
        return None;
    }
    let tenant_id = settings.tenant_id.clone();
    let subscription = settings.subscription_id.clone();
    let make: Make = Box::new(move || cli::credential(tenant_id.clone(), subscription.clone()));
    let subject = Method::AzureCli.name().to_owned();
    let method = Method::AzureCli;
    Some(Way { method, subject, attribute: Some("use_cli"), timeout: cli::TIMEOUT, make })
}

fn application(settings: &AzureSettings) -> Result<Application, String> {
    let client_id = match (&settings.client_id, &settings.client_id_file_path) {
        (Some(id), _) => id.clone(),
        (None, Some(path)) => read_line(path)?,
        (None, None) => return Err("client_id is not set".to_owned()),
    };
    let tenant_id = settings.tenant_id.clone().ok_or("tenant_id is not set")?;
    Ok(Application { tenant_id, client_id })
}

fn subject(what: &str, settings: &AzureSettings) -> String {
    match &settings.client_id {
        Some(id) => format!("{what} for client {id}"),
        None => what.to_owned(),
    }
}

fn asserted(
    application: Application,
    assertion: impl ClientAssertion + 'static,
    context: &PlanContext,
) -> Result<Arc<dyn TokenCredential>, String> {
    let options = ClientAssertionCredentialOptions { client_options: entra_options(context) };
    let Application { tenant_id, client_id } = application;
    let made = ClientAssertionCredential::new(tenant_id, client_id, assertion, Some(options));
    made.map(erase).map_err(|error| error.to_string())
}

fn erase(credential: Arc<impl TokenCredential + 'static>) -> Arc<dyn TokenCredential> {
    credential
}

/// Every cloud is a custom one here: its authority is already known.
fn entra_options(context: &PlanContext) -> ClientOptions {
    let mut cloud = CustomConfiguration::default();
    context.authority.as_str().clone_into(&mut cloud.authority_host);
    ClientOptions {
        cloud: Some(Arc::new(CloudConfiguration::Custom(cloud))),
        ..context.http.retrying_options()
    }
}

fn token_endpoint(authority: &Url, tenant_id: &str) -> Result<String, String> {
    let url = authority.join(&format!("/{tenant_id}/oauth2/v2.0/token"));
    url.map(String::from).map_err(|error| format!("tenant_id is not usable: {error}"))
}

pub(super) fn read_line(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let text = text.trim();
    if text.is_empty() { Err(format!("{} is empty", path.display())) } else { Ok(text.to_owned()) }
}
