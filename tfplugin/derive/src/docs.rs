//! Doc comments as Markdown: lines of a paragraph are one.

use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// What the doc comments above an item say.
pub(crate) fn text(attributes: &[Attribute]) -> String {
    let mut text = String::new();
    for line in attributes.iter().filter_map(line) {
        let line = line.trim();
        let starts_anew = line.is_empty() || line.starts_with("- ");
        match (text.is_empty(), starts_anew, text.ends_with('\n')) {
            (true, ..) | (_, false, true) => {}
            (_, false, false) => text.push(' '),
            (_, true, _) => text.push('\n'),
        }
        if line.is_empty() {
            text.push('\n');
        }
        text.push_str(line);
    }
    text.trim().to_owned()
}

fn line(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    if !pair.path.is_ident("doc") {
        return None;
    }
    match &pair.value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn lines_of_a_paragraph_are_one() {
        let item: syn::ItemStruct = syn::parse_quote! {
            /// The first line
            /// goes on.
            ///
            /// - a point
            /// - another
            struct Any;
        };
        assert_eq!(text(&item.attrs), "The first line goes on.\n\n- a point\n- another");
    }
}
