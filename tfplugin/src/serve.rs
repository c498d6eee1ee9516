//! The life of a provider process: meet Terraform, serve it, end when it says so.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tfplugin_proto::health::health_server::HealthServer;
use tfplugin_proto::plugin::grpc_broker_server::GrpcBrokerServer;
use tfplugin_proto::plugin::grpc_controller_server::GrpcControllerServer;
use tfplugin_proto::plugin::grpc_stdio_server::GrpcStdioServer;
use tfplugin_proto::tfplugin6::provider_server::ProviderServer;
use tokio::runtime::Runtime;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server as GrpcServer;

use crate::handshake::{Announcement, Environment, HandshakeError, Reattach};
use crate::orphan::parent_gone;
use crate::provider::Provider;
use crate::rpc::Calls;
use crate::server::{Server, remember_places};
use crate::services::{Broker, Controller, Health, Stdio};
use crate::transport::{Connection, Listener, TlsError, accept, mutual_tls};

/// Largest message, in both directions; what Terraform itself allows.
const MESSAGE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Bytes that a peer may send ahead; the default of HTTP/2 makes large values crawl.
const WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// How long open streams may take to end once Terraform has asked us to go.
const SHUTDOWN_LIMIT: Duration = Duration::from_millis(200);

/// Why the provider could not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
enum ServeError {
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error("the runtime could not be started")]
    Runtime(#[source] io::Error),
    #[error("no socket could be opened for Terraform")]
    Listen(#[source] io::Error),
    #[error("the connection could not be secured")]
    Tls(#[source] TlsError),
    #[error("Terraform could not be told where this provider listens")]
    Announce(#[source] io::Error),
    #[error("the server broke down")]
    Serve(#[source] tonic::transport::Error),
}

/// Serves a provider to the Terraform that started this process, until it asks to stop.
///
/// With `--debug` as its only argument the process is started by hand instead, under a debugger
/// for instance: it prints the `TF_REATTACH_PROVIDERS` by which any number of Terraform runs find
/// it, and serves them until Ctrl-C.
///
/// Called from `main`, which returns what this returns:
///
/// ```no_run
/// # use tfplugin::{ConfigureRequest, ConfigureResponse, Context, Provider, Resource, Schema, async_trait};
/// # struct MyProvider;
/// # #[async_trait]
/// # impl Provider for MyProvider {
/// #     fn schema(&self) -> Schema { Schema::new(0) }
/// #     fn resources(&self) -> Vec<std::sync::Arc<dyn Resource>> { vec![] }
/// #     async fn configure(&self, _: &Context, _: ConfigureRequest) -> ConfigureResponse {
/// #         ConfigureResponse::new(())
/// #     }
/// # }
/// fn main() -> std::process::ExitCode {
///     tfplugin::serve(MyProvider)
/// }
/// ```
///
/// The author's code runs on the one thread that also answers Terraform, which makes the start fast
/// and costs nothing where code waits for others. Code that blocks its thread, by a library without
/// `async` or by long computing, belongs into `tokio::task::spawn_blocking`, or the provider is
/// served by [`serve_with`].
pub fn serve(provider: impl Provider) -> ExitCode {
    serve_with(provider, Options::default())
}

/// How a provider is served.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    threads: Option<NonZeroUsize>,
}

impl Options {
    /// Gives the author's code so many threads of its own. A call that blocks its thread then keeps
    /// others from running only when all threads are blocked, and never keeps Terraform from being
    /// answered: a stop reaches the call's token at once.
    #[must_use]
    pub fn threads(self, threads: NonZeroUsize) -> Self {
        Self { threads: Some(threads) }
    }
}

/// [`serve`] with options.
pub fn serve_with(provider: impl Provider, options: Options) -> ExitCode {
    match run(provider, options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut sentence = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                sentence = format!("{sentence}: {cause}");
                source = cause.source();
            }
            let _ = writeln!(io::stderr(), "{sentence}");
            ExitCode::FAILURE
        }
    }
}

fn run(provider: impl Provider, options: Options) -> Result<(), ServeError> {
    let debug = std::env::args().skip(1).eq(["--debug"]);
    let environment = if debug {
        Environment::by_hand()
    } else {
        Environment::read(|name| std::env::var(name).ok())?
    };
    crate::logs::install();
    remember_places();
    // One thread: a provider waits for others nearly all the time, and starts faster this way.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ServeError::Runtime)?;
    let threads = options.threads.map(author_threads).transpose().map_err(ServeError::Runtime)?;
    let handle = threads.as_ref().map(|runtime| runtime.handle().clone());
    let server = Arc::new(Server::new(provider).on(handle));
    let result = runtime.block_on(async {
        if debug {
            serve_by_hand(server, environment).await
        } else {
            serve_terraform(server, environment).await
        }
    });
    // A blocking task of the author does not keep the process alive.
    for runtime in [Some(runtime), threads].into_iter().flatten() {
        runtime.shutdown_background();
    }
    result
}

/// Threads for the author's code alone.
fn author_threads(count: NonZeroUsize) -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(count.get())
        .thread_name("provider")
        .enable_all()
        .build()
}

/// Serves the Terraform that started this process.
async fn serve_terraform(server: Arc<Server>, environment: Environment) -> Result<(), ServeError> {
    ignore_interrupts().map_err(ServeError::Listen)?;
    let listener = Listener::bind(&environment).map_err(ServeError::Listen)?;
    let address = listener.address().map_err(ServeError::Listen)?;
    let (tls, certificate) = match environment.client_certificate {
        Some(client) => mutual_tls(client).map(|(tls, own)| (Some(tls), Some(own))),
        None => Ok((None, None)),
    }
    .map_err(ServeError::Tls)?;
    let connections = accept(listener, tls);
    say(&Announcement { address: &address, certificate: certificate.as_ref() })
        .map_err(ServeError::Announce)?;

    // Its connection is closed by then, which cancels the calls; they may come to their own end.
    let orphaned = async {
        parent_gone().await;
        tracing::warn!("Terraform is gone");
        server.rest().await;
    };
    tokio::select! {
        result = answer(&server, connections) => result,
        () = orphaned => Ok(()),
    }
}

/// Serves every Terraform that is told where to find this process, until Ctrl-C. What runs then is
/// asked to stop, and comes to its own end, so that no object is lost.
async fn serve_by_hand(server: Arc<Server>, environment: Environment) -> Result<(), ServeError> {
    let listener = Listener::bind(&environment).map_err(ServeError::Listen)?;
    let address = listener.address().map_err(ServeError::Listen)?;
    let program = std::env::current_exe().unwrap_or_default();
    let named = server.address().unwrap_or_else(|| address_of(&program));
    let connections = accept(listener, None);
    say(&Reattach { provider: &named, process: std::process::id(), address: &address })
        .map_err(ServeError::Announce)?;
    let interrupted = async {
        let _ = tokio::signal::ctrl_c().await;
        server.stop.pull();
        server.rest().await;
        // The last replies are on their way.
        tokio::time::sleep(SHUTDOWN_LIMIT).await;
    };
    tokio::select! {
        result = answer(&server, connections) => result,
        () = interrupted => Ok(()),
    }
}

/// The address that Terraform takes a provider by which is named without one; `hashicorp` is its
/// default. Programs may carry their version: `terraform-provider-boxes_v1.2.3`.
fn address_of(program: &Path) -> String {
    let file = program.file_name().unwrap_or_default().to_string_lossy();
    let name = file.strip_prefix("terraform-provider-").unwrap_or(&file);
    let name = name.trim_end_matches(".exe").split('_').next().unwrap_or(name);
    format!("registry.terraform.io/hashicorp/{name}")
}

/// Answers calls until Terraform asks to stop.
async fn answer(
    server: &Arc<Server>,
    connections: impl Stream<Item = io::Result<Connection>>,
) -> Result<(), ServeError> {
    let shutdown = CancellationToken::new();
    let calls = ProviderServer::new(Calls::new(Arc::clone(server)))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let token = || shutdown.clone();
    let serving = GrpcServer::builder()
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .add_service(calls)
        .add_service(GrpcControllerServer::new(Controller { shutdown: token() }))
        .add_service(GrpcStdioServer::new(Stdio { shutdown: token() }))
        .add_service(GrpcBrokerServer::new(Broker { shutdown: token() }))
        .add_service(HealthServer::new(Health { shutdown: token() }))
        .serve_with_incoming_shutdown(connections, token().cancelled_owned());
    let dismissed = async {
        shutdown.cancelled().await;
        tokio::time::sleep(SHUTDOWN_LIMIT).await;
    };
    tokio::select! {
        result = serving => result.map_err(ServeError::Serve),
        () = dismissed => Ok(()),
    }
}

/// Ctrl-C reaches the whole process group. Terraform hears it too and asks us to stop in an
/// orderly way; dying at once would lose the state of whatever is being made.
fn ignore_interrupts() -> io::Result<()> {
    // A handler stays installed after its stream is dropped.
    #[cfg(unix)]
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt()).map(drop)?;
    #[cfg(windows)]
    tokio::signal::windows::ctrl_c().map(drop)?;
    Ok(())
}

/// In one write: whoever reads may be content with a part, and close its end.
fn say(text: &impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(format!("{text}\n").as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_without_an_address_is_named_after_its_program() {
        for file in ["boxes", "boxes.exe", "boxes_v1.2.3", "boxes_v1.2.3_x5"] {
            let program = format!("/plugins/terraform-provider-{file}");
            let address = address_of(Path::new(&program));
            assert_eq!(address, "registry.terraform.io/hashicorp/boxes", "{file}");
        }
    }
}
