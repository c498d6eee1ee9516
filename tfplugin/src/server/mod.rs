//! What all calls share: the author's provider with its schemas, and the switch that stops them.
//!
//! Nothing here knows a particular call; those are in [`crate::rpc`].

mod barrier;
mod catalog;
mod identity;
mod shape;
mod stop;

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::provider::ProviderData;
use crate::{Context, Deferred, Diagnostics, Provider};

use barrier::catch_on;
pub(crate) use barrier::{catch, remember_places};
use catalog::Catalog;
pub(crate) use catalog::Entry;
pub(crate) use identity::IdentityShape;
pub(crate) use shape::Shape;
pub(crate) use stop::Stop;

/// What became of the provider's configuration.
#[derive(Clone, Default)]
pub(crate) struct Configured {
    /// What the author made of it.
    pub(crate) data: Option<ProviderData>,
    /// Why everything waits, if it does.
    pub(crate) deferred: Option<Deferred>,
}

/// The author's provider as the calls see it.
pub(crate) struct Server {
    provider: Arc<dyn Provider>,
    catalog: OnceLock<Catalog>,
    pub(crate) stop: Stop,
    running: TaskTracker,
    /// Where the author's code runs, if not on the thread that answers.
    threads: Option<Handle>,
    configured: RwLock<Configured>,
    /// Whether every response is held against the contract, see [`crate::oracle`].
    pub(crate) judges: bool,
}

impl Server {
    pub(crate) fn new(provider: impl Provider) -> Self {
        Self {
            provider: Arc::new(provider),
            catalog: OnceLock::new(),
            stop: Stop::default(),
            running: TaskTracker::new(),
            threads: None,
            configured: RwLock::default(),
            judges: std::env::var_os("TFPLUGIN_ORACLE").is_some_and(|value| value == "1"),
        }
    }

    /// The same with the author's code on the threads of another runtime.
    pub(crate) fn on(self, threads: Option<Handle>) -> Self {
        Self { threads, ..self }
    }

    /// The same, which holds every response against the contract.
    pub(crate) fn judged(self) -> Self {
        Self { judges: true, ..self }
    }

    /// Where the author's code runs.
    pub(crate) fn threads(&self) -> Handle {
        self.threads.clone().unwrap_or_else(Handle::current)
    }

    /// The surroundings of a call that begins now.
    pub(crate) fn context(&self, cancel: CancellationToken) -> Context {
        let configured = self.configured.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut ctx = Context::with_cancel(cancel);
        ctx.provider_data = configured.data;
        ctx.put_off = configured.deferred;
        ctx
    }

    /// From now on calls have these data at hand, and none where a configuration failed.
    pub(crate) fn configured(&self, configured: Configured) {
        *self.configured.write().unwrap_or_else(PoisonError::into_inner) = configured;
    }

    /// The source address of the provider, if its author names one.
    pub(crate) fn address(&self) -> Option<String> {
        self.provider.address().map(str::to_owned)
    }

    /// Everything that the provider offers; collected at the first call, not before the handshake.
    pub(crate) fn catalog(&self) -> &Catalog {
        self.catalog.get_or_init(|| Catalog::of(&self.provider))
    }

    /// Runs one call on these threads, behind the panic barrier and with a token that a stop cancels.
    ///
    /// A caller that goes away cancels the call as well; it is not dropped in the middle, but may
    /// come to its own end.
    pub(crate) async fn run<T, F>(
        self: &Arc<Self>,
        threads: &Handle,
        call: impl FnOnce(Arc<Self>, Context) -> F,
    ) -> Result<T, Diagnostics>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Diagnostics>> + Send + 'static,
    {
        let cancel = self.stop.token();
        let gone = cancel.clone().drop_guard();
        let call = call(Arc::clone(self), self.context(cancel));
        let result = catch_on(threads, self.running.track_future(call)).await;
        gone.disarm();
        result.and_then(|result| result)
    }

    /// Starts something that goes on after its call, such as a stream; it is waited for at the end.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.running.spawn_on(work, &self.threads());
    }

    /// Waits until the calls that run have ended.
    pub(crate) async fn rest(&self) {
        self.running.close();
        self.running.wait().await;
    }
}
