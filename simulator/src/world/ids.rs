//! ARM ids: split, compare without case, find parents. Never checks whether something exists.

/// The form in which ids are compared and stored.
pub(crate) fn key(id: &str) -> String {
    id.trim_end_matches('/').to_ascii_lowercase()
}

/// Whether two ids name the same; the second is a key.
pub(crate) fn is(id: &str, key: &str) -> bool {
    id.trim_end_matches('/').eq_ignore_ascii_case(key)
}

/// Whether a key is `scope` or lies below it, however the scope is spelled.
pub(crate) fn within_any_case(key: &str, scope: &str) -> bool {
    let scope = scope.trim_end_matches('/');
    key.get(..scope.len()).is_some_and(|head| head.eq_ignore_ascii_case(scope))
        && matches!(key.as_bytes().get(scope.len()), None | Some(b'/'))
}

/// Last segment.
pub(crate) fn name_of(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

/// The object that this one is a child of; nothing for what is no id of a child.
pub(crate) fn parent_of(id: &str) -> &str {
    id.rsplitn(3, '/').nth(2).unwrap_or_default()
}

/// The segment before the last name: `subnets` of `…/subnets/s`.
pub(crate) fn type_segment(id: &str) -> &str {
    id.rsplit('/').nth(1).unwrap_or_default()
}

/// The segment after `/subscriptions/`, empty where the id has none.
pub(crate) fn subscription_of(id: &str) -> &str {
    let mut segments = id.split('/').filter(|segment| !segment.is_empty());
    let first = segments.next().unwrap_or_default();
    if first.eq_ignore_ascii_case("subscriptions") {
        segments.next().unwrap_or_default()
    } else {
        ""
    }
}

/// The segment after `/resourceGroups/`.
pub(crate) fn group_of(id: &str) -> Option<&str> {
    let mut segments = id.split('/');
    segments.find(|s| s.eq_ignore_ascii_case("resourcegroups"))?;
    segments.next()
}

/// Whether `id` is `scope` or lies below it; both as keys.
pub(crate) fn within(id: &str, scope: &str) -> bool {
    id == scope || (id.starts_with(scope) && id.as_bytes().get(scope.len()) == Some(&b'/'))
}

/// A path below ARM, split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArmPath {
    /// Subscription id, empty outside of subscriptions.
    pub(crate) subscription: String,
    /// Resource group, as the caller spelled it.
    pub(crate) group: Option<String>,
    /// Everything before the last `/providers/`.
    pub(crate) scope: String,
    /// Namespace as the caller spelled it; empty without `/providers/`.
    pub(crate) namespace: String,
    /// Type segments of the last provider part.
    pub(crate) types: Vec<String>,
    /// Name segments of the last provider part.
    pub(crate) names: Vec<String>,
    /// Whether the path ends in `/providers`.
    pub(crate) lists_providers: bool,
    /// Segments before any `/providers/` that are neither subscription nor group.
    pub(crate) rest: Vec<String>,
}

impl ArmPath {
    /// Splits a path. Double and trailing slashes do not count.
    pub(crate) fn parse(path: &str) -> Self {
        let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
        let is =
            |at: usize, word: &str| segments.get(at).is_some_and(|s| s.eq_ignore_ascii_case(word));
        let text = |at: usize| segments.get(at).map(|s| (*s).to_owned());
        let provider_at = segments.iter().rposition(|s| s.eq_ignore_ascii_case("providers"));
        let head_end = provider_at.unwrap_or(segments.len());
        let mut subscription = String::new();
        let mut group = None;
        let mut at = 0;
        if is(0, "subscriptions") && head_end > 1 {
            subscription = text(1).unwrap_or_default();
            at = 2;
            if is(2, "resourcegroups") && head_end > 3 {
                group = text(3);
                at = 4;
            }
        }
        let first_provider = segments.iter().position(|s| s.eq_ignore_ascii_case("providers"));
        let rest_end = first_provider.unwrap_or(segments.len()).max(at);
        let rest = segments[at..rest_end].iter().map(|s| (*s).to_owned()).collect();
        let scope = segments[..head_end].iter().fold(String::new(), |acc, s| acc + "/" + s);
        let mut namespace = String::new();
        let (mut types, mut names) = (Vec::new(), Vec::new());
        if let Some(provider) = provider_at {
            namespace = text(provider + 1).unwrap_or_default();
            for (n, segment) in segments.iter().skip(provider + 2).enumerate() {
                if n % 2 == 0 { &mut types } else { &mut names }.push((*segment).to_owned());
            }
        }
        let lists_providers = provider_at.is_some() && namespace.is_empty();
        Self { subscription, group, scope, namespace, types, names, lists_providers, rest }
    }

    /// Whether the path ends in a type: a collection or an action.
    pub(crate) fn is_collection(&self) -> bool {
        self.types.len() > self.names.len()
    }

    /// `namespace/type/type` in lower case.
    pub(crate) fn type_key(&self) -> String {
        format!("{}/{}", self.namespace, self.types.join("/")).to_ascii_lowercase()
    }

    /// Last name, empty in a collection without parent.
    pub(crate) fn name(&self) -> &str {
        self.names.last().map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_on_a_subnet_keeps_its_scope() {
        let path = ArmPath::parse(
            "/subscriptions/S/resourceGroups/G/providers/Microsoft.Network/virtualNetworks/v/\
             subnets/x/providers/Microsoft.Authorization/locks/l",
        );
        assert_eq!(path.type_key(), "microsoft.authorization/locks");
        assert_eq!(path.name(), "l");
        assert!(path.scope.ends_with("/virtualNetworks/v/subnets/x"));
        assert_eq!(path.group.as_deref(), Some("G"));
    }

    #[test]
    fn a_collection_ends_in_a_type() {
        let path = ArmPath::parse("/subscriptions/S/resourcegroups/");
        assert_eq!(path.rest, ["resourcegroups"]);
        let path = ArmPath::parse("/subscriptions/S/providers/Microsoft.Network/virtualNetworks");
        assert!(path.is_collection());
        assert_eq!(path.group, None);
    }

    #[test]
    fn within_needs_a_whole_segment() {
        assert!(within("/a/b/c", "/a/b"));
        assert!(!within("/a/bc", "/a/b"));
    }
}
