//! A configuration of a document, with what a reader is trusted to add.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use hcs_acceptance::HarnessError;
use hcs_acceptance::scenario::configuration_dir;

/// The line by which a block says that the rest of a resource is not shown.
const ELIDED: &str = "# ...";
/// What every folder has that has no terraform block.
const HEAD: &str = "head";

/// Objects that documents refer to, by address: files of `configurations/documents`.
pub(crate) struct Declared(BTreeMap<String, String>);

impl Declared {
    pub(crate) fn read() -> Result<Self, HarnessError> {
        let dir = configuration_dir("documents");
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&dir).map_err(HarnessError::file(&dir))? {
            let path = entry.map_err(HarnessError::file(&dir))?.path();
            if path.extension().is_none_or(|ending| ending != "tf") {
                continue;
            }
            let text = fs::read_to_string(&path).map_err(HarnessError::file(&path))?;
            let address = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            files.insert(address, text);
        }
        Ok(Self(files))
    }
}

/// What a block of code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Blocks, as in a file of Terraform's.
    Blocks,
    /// Arguments of a resource that is not shown.
    Arguments,
    /// A call of a function.
    Call,
    /// Terraform's own configuration, of the user and not of a folder.
    Client,
}

pub(crate) fn kind(text: &str) -> Kind {
    let line = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#'));
    match line.unwrap_or_default() {
        line if line.starts_with("provider_installation") => Kind::Client,
        line if line.starts_with("provider::") => Kind::Call,
        line if line.ends_with('{') && !line.contains('=') => Kind::Blocks,
        _ => Kind::Arguments,
    }
}

/// Files of a folder, and what of the block is not in them.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    pub(crate) files: BTreeMap<String, String>,
    /// How many blocks of other providers.
    pub(crate) taken_out: usize,
    /// Files beside it that it reads.
    pub(crate) read: BTreeSet<String>,
    /// Folders of modules beside it.
    pub(crate) modules: BTreeSet<String>,
    /// Whether anything of ours is left.
    pub(crate) is_ours: bool,
}

/// The block in a folder of its own. `owner` is the resource of arguments that stand alone.
pub(crate) fn whole(text: &str, owner: &str, declared: &Declared) -> Whole {
    let mut whole = Whole::default();
    let mut shown = match kind(text) {
        Kind::Blocks | Kind::Client => {
            let (others, mut own): (Vec<_>, Vec<_>) =
                blocks(text).into_iter().partition(|block| is_of_others(block));
            own.extend(asked_by(&others));
            let is_said = |block: &String| !header(block).is_empty();
            whole.taken_out = others.len();
            whole.is_ours = own.iter().any(is_said);
            own.concat()
        }
        Kind::Arguments => {
            whole.is_ours = true;
            let (ty, name) = owner.split_once('.').unwrap_or((owner, ""));
            format!("resource \"{ty}\" \"{name}\" {{\n{ELIDED}\n{text}}}\n")
        }
        Kind::Call => {
            whole.is_ours = true;
            let call = text.lines().filter(|line| !line.starts_with('#'));
            let call: Vec<&str> = call.collect();
            format!("output \"shown\" {{\n  value = {}\n}}\n", call.join("\n"))
        }
    };
    // What somebody else's object gives may be anything.
    let others = references(&shown).into_iter().filter_map(|path| somebody_elses(&path));
    // `data.x.y` comes before `x.y`.
    for address in others.collect::<BTreeSet<_>>() {
        shown = shown.replace(&address, &format!("var.{}", address.replace('.', "_")));
    }
    shown = blocks(&shown).iter().map(|block| filled(block, declared)).collect();
    let name = if shown.contains("list \"") { "shown.tfquery.hcl" } else { "shown.tf" };
    let mut given = addresses(&shown);
    let mut wanted: Vec<String> =
        references(&shown).iter().filter_map(|path| address(path)).collect();
    if !shown.contains("required_providers") {
        wanted.push(HEAD.to_owned());
    }
    whole.modules = named(&shown, "= \"./");
    whole.read = named(&shown, "file(\"${path.module}/");
    whole.files.insert(name.to_owned(), shown);
    while let Some(address) = wanted.pop() {
        if !given.insert(address.clone()) {
            continue;
        }
        let variable = address.strip_prefix("var.");
        let text = variable.map(|name| format!("variable \"{name}\" {{\n  type = any\n}}\n"));
        // What is nowhere declared is Terraform's to refuse.
        let Some(text) = text.or_else(|| declared.0.get(&address).cloned()) else { continue };
        wanted.extend(references(&text).iter().filter_map(|path| self::address(path)));
        whole.files.insert(format!("{address}.tf"), text);
    }
    whole
}

/// The block with what its resource has in `configurations/documents` and is not shown.
fn filled(block: &str, declared: &Declared) -> String {
    if !block.lines().any(|line| line.trim() == ELIDED) {
        return block.to_owned();
    }
    let address = addresses(block).pop_first().unwrap_or_default();
    let whole = declared.0.get(&address).map_or("", String::as_str);
    let name = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
    let shown: BTreeSet<String> = block.lines().map(name).collect();
    // All between the header and the brace.
    let rest = whole.lines().skip(1).filter(|line| *line != "}" && !shown.contains(&name(line)));
    block.replace(ELIDED, &rest.collect::<Vec<_>>().join("\n"))
}

/// Blocks of the first level, each with the comments before it. The layout is that of `terraform fmt`.
fn blocks(text: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    for line in text.lines() {
        let last = found.len() - 1;
        found[last].push_str(line);
        found[last].push('\n');
        let is_end = line == "}" || (line.ends_with('}') && line.contains(" {"));
        if is_end && !line.starts_with(' ') {
            found.push(String::new());
        }
    }
    found.retain(|block| !block.trim().is_empty());
    found
}

/// Words before the brace, without quotes.
fn header(block: &str) -> Vec<&str> {
    let line = block.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let words = line.unwrap_or_default().split_whitespace().take_while(|word| *word != "{");
    words.map(|word| word.trim_matches('"')).collect()
}

/// What blocks of other providers take from objects of ours, for themselves.
fn asked_by(others: &[String]) -> Option<String> {
    let paths = others.iter().flat_map(|block| references(block));
    let paths = paths.filter(|path| address(path).is_some()).map(|path| path.join("."));
    let paths: BTreeSet<String> = paths.filter(|path| path.contains("hcs_")).collect();
    let paths: Vec<String> = paths.into_iter().collect();
    let list = || format!("locals {{\n  asked_by_others = [{}]\n}}\n", paths.join(", "));
    (!paths.is_empty()).then(list)
}

fn is_of_others(block: &str) -> bool {
    match header(block)[..] {
        ["resource" | "data" | "ephemeral", ty, _] => {
            !ty.starts_with("hcs_") && ty != "terraform_data"
        }
        ["provider", name] => name != "hcs",
        ["terraform"] => block.contains("source = \"") && !block.contains("\"hcs-community/hcs\""),
        _ => false,
    }
}

/// Addresses of what is declared.
fn addresses(text: &str) -> BTreeSet<String> {
    let blocks = blocks(text);
    let found = blocks.iter().filter_map(|block| match header(block)[..] {
        ["resource", ty, name] => Some(format!("{ty}.{name}")),
        [kind @ ("data" | "ephemeral"), ty, name] => Some(format!("{kind}.{ty}.{name}")),
        ["variable", name] => Some(format!("var.{name}")),
        _ => None,
    });
    found.collect()
}

/// Dotted paths outside of comments. What a `removed` block names is gone, and what an import names that says whose it
/// is is not there yet.
fn references(text: &str) -> BTreeSet<Vec<&str>> {
    let generates = text.contains("\n  provider = hcs\n");
    let names_none = move |line: &str| {
        line.starts_with(['#']) || line.starts_with("from ") || generates && line.starts_with("to ")
    };
    let lines = text.lines().map(str::trim_start).filter(move |line| !names_none(line));
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.' || c == '-';
    let paths = lines.flat_map(|line| line.split(move |c| !is_part(c)));
    let paths = paths.map(|path| path.split('.').collect::<Vec<_>>());
    paths.filter(|path| path.len() > 1 && path.iter().all(|part| !part.is_empty())).collect()
}

/// The address of another provider's object that a path leads into.
fn somebody_elses(path: &[&str]) -> Option<String> {
    let at = usize::from(matches!(path[0], "data" | "ephemeral"));
    let ty = path.get(at)?;
    let is_theirs = ty.contains('_') && !ty.starts_with("hcs_") && *ty != "terraform_data";
    (is_theirs && path.len() > at + 1).then(|| path[..at + 2].join("."))
}

/// The address of the object that a path leads into, where it is one of ours or a variable.
fn address(path: &[&str]) -> Option<String> {
    match path {
        ["var", name, ..] => Some(format!("var.{name}")),
        [kind @ ("data" | "ephemeral"), ty, name, ..] => Some(format!("{kind}.{ty}.{name}")),
        [ty, name, ..] if ty.starts_with("hcs_") => Some(format!("{ty}.{name}")),
        _ => None,
    }
}

/// What follows `before`, up to the quote.
fn named(text: &str, before: &str) -> BTreeSet<String> {
    let names = text.split(before).skip(1).filter_map(|rest| rest.split('"').next());
    names.map(str::to_owned).collect()
}
