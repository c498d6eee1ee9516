//! Doc comments as Markdown: lines of a paragraph are one.

use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// What the doc comments above an item say.
pub(crate) fn text(attributes: &[Attribute]) -> String {
    let mut text = String::new();
    for line in attributes.iter().filter_map(line) {
        let line = line.trim();
        if line.is_empty() {
            text.truncate(text.trim_end().len());
            text.push_str("\n\n");
            continue;
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push(if line.starts_with("- ") { '\n' } else { ' ' });
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
        let item: syn::DeriveInput = syn::parse_quote! {
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
