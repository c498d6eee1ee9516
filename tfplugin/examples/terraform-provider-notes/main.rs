//! A provider on one page: notes, each a file in a folder.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use std::{fs, io};

use tfplugin::validate::{length, one_of};
use tfplugin::{
    Attr, Attribute, ConfigureRequest, Context, Diagnostic, Diagnostics, Failure, ImportRequest,
    ManagedResource, Model, Provider, Resource, Schema, Timeouts, Type, async_trait, managed,
    serve,
};

/// One note. Every field may be null or not known yet, and the compiler reminds us.
#[derive(Model, Default)]
struct Note {
    id: Attr<String>,
    title: Attr<String>,
    text: Attr<String>,
    mood: Attr<String>,
    tags: Attr<BTreeSet<String>>,
    words: Attr<u64>,
}

struct Notes {
    folder: Folder,
}

type Folder = Arc<OnceLock<PathBuf>>;

fn failed(what: &'static str) -> impl Fn(io::Error) -> Diagnostic {
    move |error| Diagnostic::error(what, format!("{error}. Is the folder there and writable?"))
}

impl Notes {
    fn file(&self, note: &Note) -> Result<PathBuf, Diagnostic> {
        let folder = self.folder.get().ok_or_else(|| {
            Diagnostic::error("The provider is not configured", "`folder` is not known yet.")
        })?;
        let title = note.id.known().or(note.title.known());
        Ok(folder.join(format!("{}.note", title.map_or("", String::as_str))))
    }

    fn write(&self, mut note: Note) -> Result<Note, Failure<Note>> {
        let text = note.text.known().map_or("", String::as_str);
        fs::write(self.file(&note)?, text).map_err(failed("The note cannot be written"))?;
        note.words = Attr::Known(text.split_whitespace().count() as u64);
        note.id = note.title.clone();
        Ok(note)
    }
}

#[async_trait]
impl ManagedResource for Notes {
    type Model = Note;

    fn type_name(&self) -> &'static str {
        "notes_note"
    }

    fn schema(&self) -> Schema {
        let mood = Attribute::string("mood").default("calm");
        Schema::new(0)
            .describe("A note in a file.")
            .attribute(Attribute::string("id").computed().keeps_prior())
            .attribute(Attribute::string("title").required().replaces().validate(length(1..=40)))
            .attribute(Attribute::string("text").required().describe("What the note says."))
            .attribute(mood.validate(one_of(["calm", "cheerful"])))
            .attribute(Attribute::set("tags", Type::String).optional())
            .attribute(Attribute::number("words").computed().describe("Words in the text."))
    }

    fn timeouts(&self) -> Timeouts {
        Timeouts::none().create(Duration::from_mins(1))
    }

    async fn create(&self, _: &Context, plan: Note) -> Result<Note, Failure<Note>> {
        if self.file(&plan)?.exists() {
            let title = plan.title.require("title")?;
            let detail =
                format!("There is a note {title:?} already. Import it: its id is its title.");
            return Err(Diagnostic::error("The note exists", detail).at("title").into());
        }
        self.write(plan)
    }

    async fn read(&self, _: &Context, mut note: Note) -> Result<Option<Note>, Diagnostics> {
        let text = match fs::read_to_string(self.file(&note)?) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(failed("The note cannot be read"))?,
        };
        note.title = note.id.clone();
        note.words = Attr::Known(text.split_whitespace().count() as u64);
        note.text = Attr::Known(text);
        Ok(Some(note))
    }

    async fn update(&self, _: &Context, _: Note, plan: Note) -> Result<Note, Failure<Note>> {
        self.write(plan)
    }

    async fn delete(&self, _: &Context, note: Note) -> Result<(), Failure<Note>> {
        match fs::remove_file(self.file(&note)?) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => Ok(removed.map_err(failed("The note cannot be removed"))?),
        }
    }

    async fn import(&self, _: &Context, request: ImportRequest) -> Result<Note, Diagnostics> {
        let mood = Attr::from("calm");
        Ok(Note { id: request.id_or("id").into(), mood, ..Note::default() })
    }
}

struct NotesProvider {
    folder: Folder,
}

#[async_trait]
impl Provider for NotesProvider {
    fn schema(&self) -> Schema {
        Schema::new(0).attribute(Attribute::string("folder").required().validate(length(1..)))
    }

    fn resources(&self) -> Vec<Arc<dyn Resource>> {
        vec![managed(Notes { folder: self.folder.clone() })]
    }

    async fn configure(&self, _: &Context, request: ConfigureRequest) -> Diagnostics {
        if let Some(folder) = request.config.get("folder").as_str() {
            let _ = self.folder.set(PathBuf::from(folder));
        }
        Diagnostics::none()
    }
}

fn main() -> ExitCode {
    serve(NotesProvider { folder: Folder::default() })
}
