//! Start, serve, stop.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use http::Request as HttpRequest;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_rustls::TlsAcceptor;

use super::state::{Errand, Identity, Shared};
use super::wire::{self, Reply};
use super::{FrontError, arm, blob, file_error, inspect, make_dir, now_ms, tls, token, vm};
use crate::world::World;
use crate::world::events::Event;
use crate::world::fault::Fault;
use crate::world::http::decode;
use crate::world::policy::Policy;
use crate::world::settings::Settings;

/// How to serve, and what the command line says of it.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Folder of the world, its blobs and machines; `DIR/env` holds what a client needs.
    #[arg(long)]
    pub dir: PathBuf,
    /// Port [default: the one of the last run, else any]
    #[arg(long)]
    pub port: Option<u16>,
    /// How many times faster than Azure its durations pass [default: 1]
    #[arg(long, value_name = "X")]
    pub time_scale: Option<f64>,
    /// How many times faster than real days pass for the servers' maintenance windows, from the start on [default: 1]
    #[arg(long, value_name = "X")]
    pub calendar_speed: Option<f64>,
    /// Machines have the addresses that Azure says, on the loopback device, and not ones in 127.0.0.0/8: for a network
    /// namespace of the emulator's own; needs `ip` and the right to change networks
    #[arg(long)]
    pub own_addresses: bool,
    /// Address to listen on; machines that somebody else runs must reach it. Whoever does reaches `/emulator/`, too,
    /// which asks for no token
    #[arg(long, default_value_t = Ipv4Addr::LOCALHOST)]
    pub listen: Ipv4Addr,
    /// Somebody else runs the machines: `/emulator/vms` says which, with their customData, and their metadata address
    /// is served here, to each by the address that it asks from
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "own_addresses")]
    pub external_machines: Option<SocketAddr>,
    /// Accounts are `ACCOUNT.blob.SUFFIX` on the emulator's port, as clients expect that take names apart; the names have
    /// to lead to it
    #[arg(long, value_name = "SUFFIX")]
    pub storage_suffix: Option<String>,
    /// Another subscription of the tenant, which the caller owns as well; may be repeated
    #[arg(long = "other-subscription", value_name = "GUID")]
    pub other_subscriptions: Vec<uuid::Uuid>,
    /// Public address of the caller, as firewalls of accounts see it [default: 203.0.113.7]
    #[arg(long, value_name = "ADDRESS")]
    pub caller_address: Option<IpAddr>,
    /// Id of the network in which the caller's machine is: accounts with private endpoints are reached from it as from
    /// a machine there
    #[arg(long, value_name = "ID")]
    pub caller_network: Option<String>,
    /// Policies for the subscription: a JSON list of definitions in Azure's form, with the effects deny, modify, append
    /// and audit; `GET /emulator/audited` says what was audited
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Serves this folder below `/releases/`, and machines believe releases that are signed with the key in its `key.asc`
    #[arg(long, value_name = "DIR")]
    pub releases: Option<PathBuf>,
    /// Injects a fault; may be repeated
    #[arg(long = "fault", value_name = "SPEC")]
    pub faults: Vec<Fault>,
}

/// Serves until SIGTERM or SIGINT; prints `ready …` when it does.
pub async fn serve(options: Options) -> Result<(), FrontError> {
    make_dir(&options.dir)?;
    let dir = options.dir.canonicalize().map_err(file_error("find", &options.dir))?;
    if options.time_scale.is_some_and(|scale| !scale.is_finite() || scale <= 0.0) {
        return Err(FrontError::Usage("--time-scale must be a positive number".to_owned()));
    }
    if options.listen.is_unspecified() {
        return Err(FrontError::Usage(
            "--listen must be one address, as URLs are made of it".to_owned(),
        ));
    }
    let mut terminate = signal(SignalKind::terminate()).map_err(file_error("watch", &dir))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(file_error("watch", &dir))?;
    let acceptor = TlsAcceptor::from(tls::server_config(
        &dir,
        options.listen,
        options.storage_suffix.as_deref(),
    )?);
    let mut identity = read_identity(&dir)?;
    let listener = listen(options.listen, options.port, identity.port).await?;
    identity.port = listener.local_addr().map_err(file_error("listen for", &dir))?.port();
    let endpoint = format!("https://{}:{}", options.listen, identity.port);
    write_identity(&dir, &identity)?;
    let suffix = options.storage_suffix.as_ref().map(|own| format!("{own}:{}", identity.port));
    let world = read_world(&dir, &identity, &endpoint, suffix.clone(), &options)?;
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let scale_text = options.time_scale.map(|scale| scale.to_string());
    let mut shared = Shared::new(&dir, endpoint.clone(), identity, scale_text, world, sender)?;
    shared.machines.own_addresses = options.own_addresses;
    shared.storage_suffix = suffix;
    shared.releases = options.releases;
    shared.calendar = options.calendar_speed.map(|speed| format!("{}@{speed}", now_ms()));
    let metadata = match options.external_machines {
        None => None,
        Some(address) => {
            shared.machines.are_external();
            Some(vm::external::listen(address).await?)
        }
    };
    let shared = Arc::new(shared);
    if let Some(listener) = metadata {
        tokio::spawn(vm::external::serve_metadata(Arc::clone(&shared), listener));
    }
    write_env(&shared)?;
    vm::write_shims(&shared)?;
    let carrier = tokio::spawn(carry_out(Arc::clone(&shared), receiver));
    let ticker = tokio::spawn(tick(Arc::clone(&shared)));
    let accepting = tokio::spawn(accept(Arc::clone(&shared), listener, acceptor));
    shared.save()?;
    announce(&endpoint);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    accepting.abort();
    carrier.abort();
    ticker.abort();
    shared.machines.power_off_all().await;
    shared.save()
}

#[allow(clippy::print_stdout)]
fn announce(endpoint: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout();
    // Whoever waits for the line may be gone; the emulator serves all the same.
    let _ = writeln!(out, "ready {endpoint}");
    let _ = out.flush();
}

async fn listen(host: Ipv4Addr, wanted: Option<u16>, last: u16) -> Result<TcpListener, FrontError> {
    let address = SocketAddr::from((host, wanted.unwrap_or(last)));
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(source) if wanted.is_some() => Err(FrontError::Listen { address, source }),
        Err(_) => {
            let address = SocketAddr::from((host, 0));
            let bound = TcpListener::bind(address).await;
            bound.map_err(|source| FrontError::Listen { address, source })
        }
    }
}

fn read_identity(dir: &Path) -> Result<Identity, FrontError> {
    let path = dir.join("identity.json");
    if let Ok(text) = std::fs::read(&path) {
        return serde_json::from_slice(&text).map_err(|source| FrontError::Format { path, source });
    }
    let settings = Settings::default();
    let guid = || uuid::Uuid::new_v4().to_string();
    Ok(Identity {
        port: 0,
        subscription_id: settings.subscription_id,
        tenant_id: settings.tenant_id,
        client_id: settings.client_id,
        caller_object_id: settings.caller_object_id,
        client_secret: format!("emulator-{}", uuid::Uuid::new_v4().simple()),
        token_key: guid() + &guid(),
    })
}

fn write_identity(dir: &Path, identity: &Identity) -> Result<(), FrontError> {
    let path = dir.join("identity.json");
    let text = serde_json::to_vec_pretty(identity)
        .map_err(|source| FrontError::Format { path: path.clone(), source })?;
    super::write_atomically(&path, &text)
}

fn read_world(
    dir: &Path,
    identity: &Identity,
    endpoint: &str,
    storage_suffix: Option<String>,
    options: &Options,
) -> Result<World, FrontError> {
    let path = dir.join("world.json");
    let scale = options.time_scale.unwrap_or(1.0);
    let mut world = if let Ok(text) = std::fs::read(&path) {
        let mut world: World =
            serde_json::from_slice(&text).map_err(|source| FrontError::Format { path, source })?;
        world.rebase(endpoint, storage_suffix, scale);
        world
    } else {
        let settings = Settings {
            subscription_id: identity.subscription_id.clone(),
            tenant_id: identity.tenant_id.clone(),
            client_id: identity.client_id.clone(),
            caller_object_id: identity.caller_object_id.clone(),
            endpoint: endpoint.to_owned(),
            storage_suffix,
            time_scale: scale,
            other_subscription_ids: options
                .other_subscriptions
                .iter()
                .map(ToString::to_string)
                .collect(),
            ..Settings::default()
        };
        World::new(settings, now_ms())
    };
    if let Some(address) = options.caller_address {
        world.come_from(address);
    }
    world.come_from_network(options.caller_network.clone());
    for fault in &options.faults {
        world.inject(fault.clone());
    }
    if let Some(path) = &options.policy {
        let text = std::fs::read(path).map_err(file_error("read", path))?;
        let file = serde_json::from_slice(&text)
            .map_err(|source| FrontError::Format { path: path.clone(), source })?;
        world.assign(Policy::read(&file).map_err(|error| FrontError::Usage(error.to_string()))?);
    }
    Ok(world)
}

fn write_env(shared: &Shared) -> Result<(), FrontError> {
    let own = &shared.identity;
    let ca = shared.dir.join("ca.pem");
    let text = format!(
        "export SSL_CERT_FILE='{}'\nexport ARM_METADATA_HOSTNAME='{}'\n\
         export ARM_SUBSCRIPTION_ID='{}'\nexport ARM_TENANT_ID='{}'\nexport ARM_CLIENT_ID='{}'\n\
         export ARM_CLIENT_SECRET='{}'\n",
        ca.display(),
        shared.endpoint.trim_start_matches("https://"),
        own.subscription_id,
        own.tenant_id,
        own.client_id,
        own.client_secret
    );
    super::write_atomically(&shared.dir.join("env"), text.as_bytes())
}

async fn carry_out(shared: Arc<Shared>, mut errands: UnboundedReceiver<Errand>) {
    vm::resume(&shared).await;
    while let Some(errand) = errands.recv().await {
        let event = match errand {
            Errand::CarryOut(event) => *event,
            Errand::Tell(waiting) => {
                let _ = waiting.send(());
                continue;
            }
        };
        match event {
            Event::VmStarted { machine, fresh } => {
                vm::start(&shared, *machine, fresh).await;
            }
            Event::VmStopped { id, gone } => shared.machines.power_off(&id, gone).await,
            Event::AccountDeleted { account } => shared.blobs.drop_account(&account).await,
            Event::ContainerDeleted { account, container } => {
                shared.blobs.drop_container(&account, &container).await;
            }
        }
    }
}

/// Lets the world's operations end in time and writes it down.
async fn tick(shared: Arc<Shared>) {
    loop {
        let wait_ms = {
            let world = shared.world();
            let next = world.next_change_ms().unwrap_or(u64::MAX);
            next.saturating_sub(now_ms()).clamp(5, 100)
        };
        if let Err(error) = shared.save() {
            tracing::error!(%error, "the world could not be saved");
        }
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener, acceptor: TlsAcceptor) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (shared, acceptor) = (Arc::clone(&shared), acceptor.clone());
        tokio::spawn(async move { connection(shared, acceptor, stream).await });
    }
}

async fn connection(shared: Arc<Shared>, acceptor: TlsAcceptor, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let handshake = tokio::time::timeout(Duration::from_secs(10), acceptor.accept(stream)).await;
    let Ok(Ok(stream)) = handshake else { return };
    let service = service_fn(move |req| {
        let shared = Arc::clone(&shared);
        async move {
            // An error from the service breaks the connection: that is what a dropped answer is.
            answer(&shared, req).await.ok_or_else(|| std::io::Error::other("injected"))
        }
    });
    let served =
        Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended");
    }
}

/// A request to `ACCOUNT.blob.SUFFIX` is one to `/ACCOUNT` of the endpoint.
fn by_path(suffix: Option<&str>, mut req: HttpRequest<Incoming>) -> HttpRequest<Incoming> {
    let host = req
        .uri()
        .authority()
        .map(ToString::to_string)
        .or_else(|| req.headers().get(http::header::HOST)?.to_str().ok().map(str::to_owned));
    if let Some(account) = suffix.zip(host.as_deref()).and_then(account_of) {
        let target = req.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        if let Ok(uri) = format!("/{account}{target}").parse() {
            *req.uri_mut() = uri;
        }
    }
    req
}

/// The account that a host's name names.
fn account_of<'h>((suffix, host): (&str, &'h str)) -> Option<&'h str> {
    host.strip_suffix(suffix)?.strip_suffix(".blob.")
}

async fn answer(shared: &Arc<Shared>, req: HttpRequest<Incoming>) -> Option<Reply> {
    let req = by_path(shared.storage_suffix.as_deref(), req);
    let path = decode(req.uri().path());
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    let lower: Vec<String> = segments.iter().take(4).map(|s| s.to_ascii_lowercase()).collect();
    let words: Vec<&str> = lower.iter().map(String::as_str).collect();
    let mut reply = match words.as_slice() {
        ["subscriptions" | "providers" | "tenants", ..] => arm::serve(shared, req).await?,
        ["metadata", "endpoints"] => {
            let query = req.uri().query().unwrap_or_default().to_owned();
            let version = url::form_urlencoded::parse(query.as_bytes())
                .find(|(k, _)| k == "api-version")
                .map(|(_, v)| v.into_owned());
            token::endpoints(shared, version.as_deref().unwrap_or_default())
        }
        ["releases", ..] if shared.releases.is_some() => released(shared, &segments[1..]),
        ["emulator", ..] => {
            let method = req.method().as_str().to_owned();
            let body = wire::collect(req.into_body()).await.unwrap_or_default();
            inspect::serve(shared, &method, &path, &body).await
        }
        [_, "oauth2", "v2.0", "token"] | [_, "oauth2", "token"] if req.method() == "POST" => {
            let tenant = segments[0].to_owned();
            let body = wire::collect(req.into_body()).await.unwrap_or_default();
            token::token(shared, &tenant, &body)
        }
        [_, "v2.0", ".well-known", "openid-configuration"]
        | [_, ".well-known", "openid-configuration"] => token::discovery(shared, segments[0]),
        [] => wire::json(
            404,
            &serde_json::json!({"error": {"code": "NotFound", "message": "Nothing is here."}}),
        ),
        _ => blob::serve(shared, req).await?,
    };
    let date = crate::world::fault::http_date(now_ms());
    wire::set(&mut reply, "date", &date);
    if !reply.headers().contains_key("x-ms-request-id") {
        let id = uuid::Uuid::new_v4().to_string();
        wire::set(&mut reply, "x-ms-request-id", &id);
    }
    Some(reply)
}

/// A file of the folder of releases.
fn released(shared: &Shared, path: &[&str]) -> Reply {
    let folder = shared.releases.as_deref().unwrap_or(Path::new(""));
    let is_plain = path.iter().all(|part| !part.starts_with('.'));
    let found = is_plain.then(|| std::fs::read(folder.join(path.join("/"))).ok()).flatten();
    match found {
        Some(bytes) => wire::reply(200, "application/octet-stream", bytes),
        None => wire::reply(404, "text/plain", Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::account_of;

    #[test]
    fn an_account_is_named_by_its_host() {
        let suffix = "storage.test:4711";
        assert_eq!(account_of((suffix, "hcs1.blob.storage.test:4711")), Some("hcs1"));
        for host in ["127.0.0.1:4711", "hcs1.queue.storage.test:4711", "hcs1.blob.storage.test"] {
            assert_eq!(account_of((suffix, host)), None, "{host}");
        }
    }
}
