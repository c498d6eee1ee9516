//! `hcs rotate`: asks a cluster's servers for other versions of its secrets.

use std::fmt::Write as _;

use hcs_engine::blob::BlobError;
use hcs_engine::error::{EngineError, chain};
use hcs_engine::lease::{ClaimError, told};
use hcs_engine::rotate::{RotateError, rotate as ask};
use hcs_engine::stored_run::NoRun;
use hcs_planner::rotation::Rotated;

use crate::input::CliError;
use crate::plan::Answer;
use crate::status::{Place, arm, open, run, user};

/// Asks, and says what was asked for.
pub(crate) fn rotate(place: &Place, secrets: &[Rotated]) -> Result<Answer, CliError> {
    run(async {
        let (azure, store) = open(place).await?;
        let holder = format!("{} (hcs rotate)", user());
        let asked =
            ask(&arm(&azure), store, secrets, &holder).await.map_err(|error| refused(&error))?;
        let mut text = String::new();
        for secret in asked.keys() {
            let _ = writeln!(text, "another version of {} was asked for", secret.in_words());
        }
        text.push_str(
            "The servers bring it into use by themselves; `hcs status` tells how far they are.\n",
        );
        Ok(text)
    })
}

fn refused(error: &RotateError) -> CliError {
    let reason = match error {
        RotateError::Run(NoRun::Claim(ClaimError::Busy(record))) => {
            format!(
                "somebody works on the cluster: the {}. Nothing was changed; try again when it has ended",
                told(record)
            )
        }
        RotateError::Engine(EngineError::Blob(BlobError::Denied { .. }))
        | RotateError::Run(
            NoRun::Engine(EngineError::Blob(BlobError::Denied { .. }))
            | NoRun::Claim(ClaimError::Engine(EngineError::Blob(BlobError::Denied { .. }))),
        ) => {
            format!(
                "{}. It takes Storage Blob Data Contributor on the cluster's storage account, which whoever applied it has",
                chain(error)
            )
        }
        error => chain(error),
    };
    CliError::Azure { reason }
}
