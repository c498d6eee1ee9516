//! Signatures of all functions.

use std::sync::Arc;

use tfplugin_proto::tfplugin6::get_functions::{Request, Response};

use super::wire;
use crate::server::Server;
use crate::{Context, Diagnostics};

pub(super) async fn call(
    server: Arc<Server>,
    _: Context,
    _: Request,
) -> Result<Response, Diagnostics> {
    let functions = server.catalog().functions.iter();
    let functions =
        functions.map(|(name, author)| ((*name).to_owned(), wire::function(&author.signature())));
    Ok(Response { functions: functions.collect(), ..Response::default() })
}
