//! Lists objects of a resource, one event each.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::list_resource::{Event, Request};
use tokio::sync::mpsc::Sender;

use super::wire;
use crate::server::{Entry, IdentityShape, Server, catch};
use crate::{Context, Diagnostics, Found, ListItem, ListRequest, Resource};

/// Sends an event for each object. Messages about the whole come with the last object, as Terraform reads no further than
/// it wants objects; where there is none, as an event of their own.
pub(super) async fn call(
    server: Arc<Server>,
    ctx: Context,
    request: Request,
    events: Sender<Event>,
) {
    let mut last = None;
    let diagnostics = match list(&server, ctx, request, &events, &mut last).await {
        Ok(diagnostics) | Err(diagnostics) => diagnostics,
    };
    let diagnostic = wire::diagnostics(diagnostics);
    let event = match last {
        Some(mut last) => {
            last.diagnostic.extend(diagnostic);
            last
        }
        None if diagnostic.is_empty() => return,
        None => Event { diagnostic, ..Event::default() },
    };
    let _ = events.send(event).await;
}

/// Sends all but the last object, which is left to the caller.
async fn list(
    server: &Server,
    ctx: Context,
    request: Request,
    events: &Sender<Event>,
    last: &mut Option<Event>,
) -> Result<Diagnostics, Diagnostics> {
    let catalog = server.catalog();
    let lister = catalog.list_resource(&request.type_name)?;
    let resource = catalog.resource(&request.type_name)?;
    let unnamed = || Diagnostics::error("Cannot be listed", "Its objects have no identity.");
    let identity = catalog.identity(&request.type_name).ok_or_else(unnamed)?;
    // Nothing is wanted: Terraform reads no event then.
    let limit = usize::try_from(request.limit).unwrap_or_default();
    if limit == 0 {
        return Ok(Diagnostics::none());
    }
    let include_resource = request.include_resource_object;
    let config = lister.shape.decode_block(request.config.as_ref())?;
    let wanted = ListRequest { config, include_resource, limit: Some(limit) };
    let (found, mut items) = Found::channel(Some(limit));
    let told = ctx.clone();
    let done = catch(async move { lister.author.list(&ctx, wanted, found).await });
    let pass_on = async {
        while let Some(item) = items.recv().await {
            let event = event(&resource, identity, item, include_resource);
            let Some(before) = last.replace(event) else { continue };
            if events.send(before).await.is_err() {
                // Nobody listens any more: the sender is told at its next object.
                told.cancel.cancel();
                items.close();
            }
        }
    };
    let (done, ()) = tokio::join!(done, pass_on);
    let mut diagnostics = told.take_messages();
    diagnostics.extend(done?);
    Ok(diagnostics)
}

fn event(
    resource: &Entry<dyn Resource>,
    identity: &IdentityShape,
    item: ListItem,
    include_resource: bool,
) -> Event {
    let mut diagnostics = item.diagnostics;
    let named = identity.encode(resource.author.identify(&item.state));
    let named = named.map_err(|bug| diagnostics.extend(bug)).ok();
    let object = include_resource.then(|| resource.shape.encode_known(item.state));
    let resource_object =
        object.and_then(|object| object.map_err(|bug| diagnostics.extend(bug)).ok());
    Event {
        identity: named,
        display_name: item.display_name,
        resource_object,
        diagnostic: wire::diagnostics(diagnostics),
    }
}
