//! Everything that is traced on the thread of one test.

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::sync::Once;

/// What one test has traced so far.
type Text = Rc<RefCell<Vec<u8>>>;

thread_local! {
    static TEXT: RefCell<Option<Text>> = const { RefCell::new(None) };
}

/// Collects from its start to its end what the thread traces.
///
/// One subscriber serves the whole process for good: a subscriber of one thread would lose every
/// place in the code that another thread happens to pass first, since whether anybody listens to
/// a place is remembered for all threads.
pub(crate) struct Traced(Text);

impl Traced {
    pub(crate) fn start() -> Self {
        static INSTALL: Once = Once::new();
        INSTALL.call_once(|| {
            let subscriber = tracing_subscriber::fmt()
                .with_max_level(tracing::Level::TRACE)
                .with_writer(|| ToThread)
                .finish();
            tracing::subscriber::set_global_default(subscriber).unwrap();
            // Places that were passed while it was being installed.
            tracing::callsite::rebuild_interest_cache();
        });
        let text = Text::default();
        TEXT.set(Some(Rc::clone(&text)));
        Self(text)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).unwrap()
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        TEXT.set(None);
    }
}

struct ToThread;

impl Write for ToThread {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        TEXT.with_borrow(|text| {
            if let Some(text) = text {
                text.borrow_mut().extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
