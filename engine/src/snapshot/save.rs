//! Brings a snapshot into an account as it comes: verified on its way, never whole in memory or on a disk of ours, and there
//! under its name when all of it is good, not before. And out of it again.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream::FuturesOrdered;
use futures::{Stream, StreamExt as _};
use hcs_planner::names::hex;
use hcs_planner::snapshots::metadata;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::archive::{self, ArchiveError, SnapshotFacts};
use crate::blob::{BlobError, BlockStore, WriteCondition};

/// Part of an archive that goes up at once.
const BLOCK_BYTES: usize = 4 * 1024 * 1024;
/// Parts under way at the same time: memory is bounded by them.
const PARALLEL: usize = 3;
/// Pieces that wait to be verified, and how large one is at most: memory is bounded by both.
const WAITING: usize = 64;
const PIECE_BYTES: usize = 64 * 1024;

/// Where a snapshot goes.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The account.
    pub store: &'a Arc<dyn BlockStore>,
    /// Container.
    pub container: &'a str,
    /// Blob.
    pub name: &'a str,
}

/// A snapshot that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// What it says of itself.
    pub facts: SnapshotFacts,
    /// Size of the archive.
    pub size_bytes: u64,
    /// Of the archive, lower-case hex.
    pub sha256: String,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// Whoever gives it gave none, or not all of it.
    #[error(transparent)]
    Source(Box<dyn std::error::Error + Send + Sync>),
    /// What it gave is no snapshot.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The account refuses it. [`BlobError::ConditionFailed`]: there is one of this name.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The verification was cut off.
    #[error("the verification of the snapshot was stopped")]
    Stopped(#[source] io::Error),
}

/// Keeps what arrives, where nothing has its name yet. `said` is kept beside it.
///
/// Cancel safety: what is dropped before its end has left parts that nobody sees, or all of it.
pub async fn keep<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    mut stream: impl Stream<Item = Result<Bytes, E>> + Unpin,
    place: Place<'_>,
    mut said: BTreeMap<String, String>,
) -> Result<Saved, SaveError> {
    let (chunks, verified) = verifier(WAITING);
    let mut upload = Upload::new(place);
    let mut hash = Sha256::new();
    let mut chunks = Some(chunks);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| SaveError::Source(error.into()))?;
        hash.update(&chunk);
        // Whoever has seen a fault reads no more; what it is, is told at the end.
        if let Some(sender) = &chunks
            && !feed(sender, chunk.clone()).await
        {
            chunks = None;
        }
        if chunks.is_none() {
            break;
        }
        upload.push(chunk).await?;
    }
    drop(chunks);
    let facts = verified.await?;
    let (size_bytes, sha256) = (upload.size_bytes, hex(&hash.finalize()));
    said.insert(metadata::RAFT_INDEX.to_owned(), facts.index.to_string());
    said.insert(metadata::SHA256.to_owned(), sha256.clone());
    match upload.commit(&said).await {
        // A write whose answer was lost has happened all the same.
        Err(error @ BlobError::ConditionFailed { .. }) => {
            let found = place.store.find(place.container, place.name).await?;
            let found = found.and_then(|entry| entry.metadata.get(metadata::SHA256).cloned());
            if found.as_ref() != Some(&sha256) {
                return Err(error.into());
            }
        }
        committed => committed?,
    }
    Ok(Saved { facts, size_bytes, sha256 })
}

/// Verifies what arrives, and keeps nothing of it.
pub async fn verify<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    mut stream: impl Stream<Item = Result<Bytes, E>> + Unpin,
) -> Result<SnapshotFacts, SaveError> {
    let (chunks, verified) = verifier(WAITING);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| SaveError::Source(error.into()))?;
        if !feed(&chunks, chunk).await {
            break;
        }
    }
    drop(chunks);
    verified.await
}

/// Hands over what arrived; false, where nobody reads it any more.
async fn feed(chunks: &mpsc::Sender<Bytes>, mut chunk: Bytes) -> bool {
    while !chunk.is_empty() {
        let piece = chunk.split_to(chunk.len().min(PIECE_BYTES));
        if chunks.send(piece).await.is_err() {
            return false;
        }
    }
    true
}

/// Takes the parts of an archive, and says in the end whether they are one.
fn verifier(
    waiting: usize,
) -> (mpsc::Sender<Bytes>, impl Future<Output = Result<SnapshotFacts, SaveError>>) {
    let (chunks, arriving) = mpsc::channel(waiting);
    let verified = tokio::task::spawn_blocking(move || archive::verify(Arriving::new(arriving)));
    let verified = async {
        let verified = verified.await.map_err(|error| SaveError::Stopped(io::Error::other(error)));
        Ok(verified??)
    };
    (chunks, verified)
}

/// Reads one that is there to its end and verifies it, without holding it; none where there is no blob. `etag` is that of
/// what was read.
pub async fn look(place: Place<'_>) -> Result<Option<(Saved, String)>, SaveError> {
    let (chunks, verified) = verifier(1);
    let (mut hash, mut size_bytes, mut etag) = (Sha256::new(), 0, None::<String>);
    loop {
        let Place { store, container, name } = place;
        let part =
            store.read_part(container, name, size_bytes, BLOCK_BYTES, etag.as_deref()).await?;
        let Some(part) = part else { return Ok(None) };
        etag.get_or_insert(part.etag);
        if part.bytes.is_empty() {
            break;
        }
        hash.update(&part.bytes);
        size_bytes += part.bytes.len() as u64;
        let is_last = part.bytes.len() < BLOCK_BYTES;
        if chunks.send(part.bytes).await.is_err() || is_last {
            break;
        }
    }
    drop(chunks);
    let facts = verified.await?;
    let saved = Saved { facts, size_bytes, sha256: hex(&hash.finalize()) };
    Ok(Some((saved, etag.unwrap_or_default())))
}

/// The bytes of one that is there, part by part: of the version `etag`, or where none is named of the one that the first part
/// is of.
pub fn read(
    store: Arc<dyn BlockStore>,
    container: String,
    name: String,
    etag: Option<String>,
) -> impl Stream<Item = Result<Bytes, BlobError>> + Send + 'static {
    futures::stream::try_unfold(Some((0, etag)), move |next| {
        let (store, container, name) = (Arc::clone(&store), container.clone(), name.clone());
        async move {
            let Some((offset, etag)) = next else { return Ok(None) };
            let part = store.read_part(&container, &name, offset, BLOCK_BYTES, etag.as_deref());
            // What is not there any more has no end.
            let gone = || BlobError::Refused {
                operation: "Read",
                container: container.clone(),
                name: name.clone(),
                status: 404,
                code: "BlobNotFound".to_owned(),
            };
            let part = part.await?.ok_or_else(gone)?;
            if part.bytes.is_empty() {
                return Ok(None);
            }
            let is_last = part.bytes.len() < BLOCK_BYTES;
            let etag = etag.unwrap_or(part.etag);
            let next = (!is_last).then(|| (offset + part.bytes.len() as u64, Some(etag)));
            Ok(Some((part.bytes, next)))
        }
    })
}

/// Parts of one blob on their way.
struct Upload<'a> {
    place: Place<'a>,
    /// Tells this try's parts from those of another.
    id: Uuid,
    buffer: BytesMut,
    ids: Vec<String>,
    under_way: FuturesOrdered<futures::future::BoxFuture<'a, Result<(), BlobError>>>,
    size_bytes: u64,
}

impl<'a> Upload<'a> {
    fn new(place: Place<'a>) -> Self {
        Self {
            place,
            id: Uuid::new_v4(),
            buffer: BytesMut::with_capacity(BLOCK_BYTES),
            ids: Vec::new(),
            under_way: FuturesOrdered::new(),
            size_bytes: 0,
        }
    }

    async fn push(&mut self, mut chunk: Bytes) -> Result<(), BlobError> {
        self.size_bytes += chunk.len() as u64;
        while !chunk.is_empty() {
            let fits = chunk.len().min(BLOCK_BYTES - self.buffer.len());
            self.buffer.extend_from_slice(&chunk.split_to(fits));
            if self.buffer.len() == BLOCK_BYTES {
                self.send().await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), BlobError> {
        if self.under_way.len() >= PARALLEL
            && let Some(sent) = self.under_way.next().await
        {
            sent?;
        }
        let bytes =
            std::mem::replace(&mut self.buffer, BytesMut::with_capacity(BLOCK_BYTES)).freeze();
        let id = format!("{}-{:06}", self.id.simple(), self.ids.len());
        let Place { store, container, name } = self.place;
        self.ids.push(id.clone());
        let sending = async move { store.stage(container, name, &id, bytes).await };
        self.under_way.push_back(Box::pin(sending));
        Ok(())
    }

    async fn commit(mut self, said: &BTreeMap<String, String>) -> Result<(), BlobError> {
        if !self.buffer.is_empty() {
            self.send().await?;
        }
        while let Some(sent) = self.under_way.next().await {
            sent?;
        }
        let Place { store, container, name } = self.place;
        store.commit(container, name, &self.ids, said, WriteCondition::Absent).await.map(drop)
    }
}

/// What arrives in chunks, to be read by a thread that may wait.
struct Arriving {
    chunks: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Arriving {
    fn new(chunks: mpsc::Receiver<Bytes>) -> Self {
        Self { chunks, current: Bytes::new() }
    }
}

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.current = chunk,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.current.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}
