//! A provider on one page: notes, each a file in a folder.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use tfplugin::typed::Model as _;
use tfplugin::validate::{length, one_of};
use tfplugin::{
    Attr, ConfigureRequest, ConfigureResponse, Context, Diagnostic, Diagnostics, Failure,
    ImportRequest, ManagedResource, Model, Provider, Resource, Schema, Timeouts, async_trait,
    managed, serve,
};

/// A note in a file.
#[derive(Model, Default)]
struct Note {
    /// Its title, for good.
    #[tf(computed, keeps_prior)]
    id: Attr<String>,
    /// Another title is another note.
    #[tf(required, replaces, validate = length(1..=40))]
    title: Attr<String>,
    /// What the note says.
    #[tf(required)]
    text: Attr<String>,
    /// In which mood it was written; default `calm`.
    #[tf(default = "calm", validate = one_of(["calm", "cheerful"]))]
    mood: Attr<String>,
    /// Words to find it by.
    tags: Attr<BTreeSet<String>>,
    /// Words in the text.
    #[tf(computed)]
    words: Attr<u64>,
}

struct Notes;

fn failed(what: &'static str) -> impl Fn(io::Error) -> Diagnostic {
    move |error| Diagnostic::error(what, format!("{error}. Is the folder there and writable?"))
}

impl Note {
    fn file(&self, ctx: &Context) -> Result<PathBuf, Diagnostics> {
        let title = self.id.known().or(self.title.known());
        Ok(ctx.data::<PathBuf>()?.join(format!("{}.note", title.map_or("", String::as_str))))
    }

    fn write(mut self, ctx: &Context) -> Result<Self, Failure<Self>> {
        let text = self.text.known().map_or("", String::as_str);
        fs::write(self.file(ctx)?, text).map_err(failed("The note cannot be written"))?;
        self.words = Attr::Known(text.split_whitespace().count() as u64);
        self.id = self.title.clone();
        Ok(self)
    }
}

#[async_trait]
impl ManagedResource for Notes {
    type Model = Note;

    fn type_name(&self) -> &'static str {
        "notes_note"
    }

    fn timeouts(&self) -> Timeouts {
        Timeouts::none().create(Duration::from_mins(1))
    }

    async fn create(&self, ctx: &Context, plan: Note) -> Result<Note, Failure<Note>> {
        if plan.file(ctx)?.exists() {
            let title = plan.title.require(Note::TITLE)?;
            let detail =
                format!("There is a note {title:?} already. Import it: its id is its title.");
            return Err(Diagnostic::error("The note exists", detail).at(Note::TITLE).into());
        }
        plan.write(ctx)
    }

    async fn read(&self, ctx: &Context, mut note: Note) -> Result<Option<Note>, Diagnostics> {
        let text = match fs::read_to_string(note.file(ctx)?) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(failed("The note cannot be read"))?,
        };
        note.title = note.id.clone();
        note.words = Attr::Known(text.split_whitespace().count() as u64);
        note.text = Attr::Known(text);
        Ok(Some(note))
    }

    async fn update(&self, ctx: &Context, _: Note, plan: Note) -> Result<Note, Failure<Note>> {
        plan.write(ctx)
    }

    async fn delete(&self, ctx: &Context, note: Note) -> Result<(), Failure<Note>> {
        match fs::remove_file(note.file(ctx)?) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => Ok(removed.map_err(failed("The note cannot be removed"))?),
        }
    }

    async fn import(&self, _: &Context, request: ImportRequest) -> Result<Note, Diagnostics> {
        let mood = Attr::from("calm");
        Ok(Note { id: request.id_or("id").into(), mood, ..Note::default() })
    }
}

/// Notes in a folder.
#[derive(Model)]
struct Config {
    /// Where the notes are.
    #[tf(required, validate = length(1..))]
    folder: Attr<String>,
}

struct NotesProvider;

#[async_trait]
impl Provider for NotesProvider {
    fn schema(&self) -> Schema {
        Config::schema()
    }

    fn resources(&self) -> Vec<Arc<dyn Resource>> {
        vec![managed(Notes)]
    }

    async fn configure(&self, _: &Context, request: ConfigureRequest) -> ConfigureResponse {
        match request.read::<Config>() {
            // What is not known yet is asked for again before anything is made.
            Ok(Config { folder: Attr::Known(folder) }) => {
                ConfigureResponse::new(PathBuf::from(folder))
            }
            Ok(_) => ConfigureResponse::default(),
            Err(found) => ConfigureResponse::failed(found),
        }
    }
}

fn main() -> ExitCode {
    serve(NotesProvider)
}
