//! Private addresses of servers, and what lists them: the servers' own records, and the books of all of them.

use super::{Planner, Servers};
use crate::desired::object;
use crate::plan::Action;
use crate::plan::graph::StepRef;

/// What holds the addresses of all servers.
const BOOKS: [&str; 2] = [object::DNS_RECORD, object::ENDPOINT];

impl Planner<'_> {
    /// Reads the addresses that no record names yet. Those of servers that are made anew are read when they are back.
    pub(super) fn addresses(&mut self, servers: &Servers) {
        for slot in self.desired.slots.clone() {
            let is_known = self.observed.addresses.contains_key(&slot);
            if servers.replaced.contains_key(&slot)
                || (is_known && !servers.missing.contains(&slot))
            {
                continue;
            }
            let read = self.read_address(slot, format!("read address of server {slot}"));
            for writes in [object::server_record(slot).as_str()].into_iter().chain(BOOKS) {
                if let Some(writer) = self.written(writes) {
                    self.draft.edge(read, writer);
                }
            }
        }
    }

    fn read_address(&mut self, slot: u32, id: String) -> StepRef {
        let scale_set = self.names.scale_set(slot);
        let read = self.draft.add(id, Action::ReadAddress { slot, scale_set }, Some(slot));
        if let Some(server) = self.written(&object::server(slot)) {
            self.draft.edge(server, read);
        }
        read
    }

    /// The old address of a server that is about to be made anew, where a book is written before it is back and no
    /// record tells.
    pub(super) fn read_old_address(&mut self, slot: u32, leave: StepRef) {
        let is_needed = BOOKS.iter().any(|book| self.written(book).is_some());
        if self.observed.addresses.contains_key(&slot) || !is_needed {
            return;
        }
        let read = self.read_address(slot, format!("read address of server {slot}"));
        for book in BOOKS {
            if let Some((first, _)) = self.writes.get(book) {
                self.draft.edge(read, *first);
            }
        }
        self.draft.edge(read, leave);
    }

    /// After a server came back with a new address: its own record, then every book. Returns what was written last.
    pub(super) fn republish(&mut self, slot: u32) -> Vec<StepRef> {
        let read = self.read_address(slot, format!("read new address of server {slot}"));
        let record = self.written(&object::server_record(slot));
        if let Some(record) = record {
            self.draft.edge(read, record);
        }
        let mut written: Vec<StepRef> = record.into_iter().collect();
        for book in BOOKS {
            let Some(object) = self.desired.objects.get(book).cloned() else { continue };
            let action = self.rewrite(&object, slot);
            let before = self.written(book);
            let id = format!("update {book} after server_{slot}");
            let step = self.add_write(book, id, action, Some(slot));
            for earlier in before.into_iter().chain(record).chain([read]) {
                self.draft.edge(earlier, step);
            }
            written.push(step);
        }
        written
    }
}
