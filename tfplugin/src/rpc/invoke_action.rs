//! Does an action, and passes on what it says on the way.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::invoke_action::event::{Completed, Progress as Said, Type};
use tfplugin_proto::tfplugin6::invoke_action::{Event, Request};
use tokio::sync::mpsc::Sender;

use super::wire;
use crate::server::{Server, catch};
use crate::{Context, Diagnostics, Progress};

/// Sends events until the action is done; the last one carries the diagnostics.
pub(super) async fn call(
    server: Arc<Server>,
    ctx: Context,
    request: Request,
    events: Sender<Event>,
) {
    let diagnostics = match invoke(&server, ctx, request, &events).await {
        Ok(diagnostics) | Err(diagnostics) => diagnostics,
    };
    let completed = Completed { diagnostics: wire::diagnostics(diagnostics) };
    let _ = events.send(Event { r#type: Some(Type::Completed(completed)) }).await;
}

async fn invoke(
    server: &Server,
    mut ctx: Context,
    request: Request,
    events: &Sender<Event>,
) -> Result<Diagnostics, Diagnostics> {
    let action = server.catalog().action(&request.action_type)?;
    wire::capable(&mut ctx, request.client_capabilities.as_ref());
    let config = action.shape.decode_block(request.config.as_ref())?;
    let (progress, mut said) = Progress::channel();
    let told = ctx.clone();
    let done = catch(async move { action.author.invoke(&ctx, config, progress).await });
    let pass_on = async {
        while let Some(message) = said.recv().await {
            let event = Event { r#type: Some(Type::Progress(Said { message })) };
            if events.send(event).await.is_err() {
                told.cancel.cancel();
            }
        }
    };
    let (done, ()) = tokio::join!(done, pass_on);
    let mut diagnostics = told.take_messages();
    diagnostics.extend(done?);
    Ok(diagnostics)
}
