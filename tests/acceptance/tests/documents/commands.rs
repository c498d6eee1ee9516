//! Commands of ours in code: words as a shell makes them.

use super::fences::Code;

/// Our programs' commands in it: the binary, then its arguments.
pub(crate) fn of(code: &Code) -> Vec<Vec<String>> {
    let lines: Vec<String> = match code.language.as_str() {
        "sh" | "shell" => joined(&code.text).lines().map(str::to_owned).collect(),
        "console" => {
            let text = joined(&code.text);
            text.lines().filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect()
        }
        "" if is_ours(&code.text) => vec![code.text.replace(['[', ']'], "")],
        _ => Vec::new(),
    };
    lines.iter().flat_map(|line| commands(line)).flat_map(alternatives).collect()
}

fn is_ours(text: &str) -> bool {
    text.starts_with("hcs ") || text.starts_with("cargo xtask ")
}

/// Lines that a backslash joins are one.
fn joined(text: &str) -> String {
    text.replace("\\\n", " ")
}

fn commands(line: &str) -> Vec<Vec<String>> {
    let words = words(&filled(line));
    let parts = words.split(|word| ["&&", "||", "|", ";", "&"].contains(&word.as_str()));
    parts.filter_map(command).collect()
}

/// The binary and its arguments, up to where output goes.
fn command(words: &[String]) -> Option<Vec<String>> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (program, rest) = match words.as_slice() {
        ["hcs", rest @ ..] => ("hcs", rest),
        ["cargo", "xtask", rest @ ..] => ("xtask", rest),
        _ => return None,
    };
    let rest = rest.iter().take_while(|word| !word.starts_with(['>', '<']));
    // What a caller adds, and what a document leaves out.
    let rest = rest.filter(|word| !["...", "…", "$@"].contains(word));
    Some([program].iter().chain(rest).map(|word| (*word).to_owned()).collect())
}

/// One for each word of `random|laws|owners`.
fn alternatives(command: Vec<String>) -> Vec<Vec<String>> {
    let mut found = vec![Vec::new()];
    for word in command {
        let choices: Vec<&str> = word.split('|').collect();
        found = choices
            .iter()
            .flat_map(|choice| {
                found.iter().map(|before| [&before[..], &[(*choice).to_owned()]].concat())
            })
            .collect();
    }
    found
}

/// A value for every `<what is yours>`, and for `SLOT`.
fn filled(line: &str) -> String {
    let mut found = String::new();
    let mut rest = line.replace("SLOT", "<slot>");
    while let Some((before, after)) = rest.split_once('<') {
        let inner = after.split('>').next().unwrap_or_default();
        found.push_str(before);
        if after.len() == inner.len() || !inner.starts_with(|c: char| c.is_ascii_lowercase()) {
            found.push('<');
            rest = after.to_owned();
            continue;
        }
        found.push_str(if inner.contains("version") { "1.21.5" } else { "1" });
        rest = after[inner.len() + 1..].to_owned();
    }
    found + &rest
}

/// Words of a line up to its comment, without quotes.
fn words(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, ' ' | '\t') => found.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    found.extend(word);
    found
}
