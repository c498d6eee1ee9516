//! Addresses of pages in Azure's portal, which is where people copy from what they look at.

use percent_encoding::percent_decode_str;

use crate::arm::ArmId;
use crate::names::parse_cluster_id;

/// The cluster that a person names: in a form of [`parse_cluster_id`], or by the address of the portal's page of its
/// managed group, or of an object in that.
///
/// Errors are a sentence about `text`.
pub fn parse_cluster_reference(text: &str) -> Result<ArmId, String> {
    match groups_of_page(text.trim()).as_slice() {
        [] => parse_cluster_id(text),
        [group] => Ok(group.clone()),
        [one, other, ..] => Err(format!(
            "{text:?} names more than one resource group, {} and {}: open the page of the managed group itself.",
            one.name(),
            other.name()
        )),
    }
}

/// The groups that the address of a page names, each once; none for what is no page.
///
/// The portal puts an id behind the `#`, plainly (`#@contoso.com/resource/subscriptions/...`) or as a value with its
/// slashes encoded (`#view/.../id/%2Fsubscriptions%2F...`).
fn groups_of_page(url: &str) -> Vec<ArmId> {
    let page = url.strip_prefix("https://").and_then(|rest| rest.split_once('#'));
    let page = page.and_then(|(_, page)| percent_decode_str(page).decode_utf8().ok());
    let page = page.unwrap_or_default();
    let words: Vec<&str> = page.split(['/', '?', '&', '"', '{', '}']).collect();
    let mut groups: Vec<ArmId> = Vec::new();
    for words in words.windows(4) {
        if let [subscriptions, subscription, groups_word, group] = words
            && subscriptions.eq_ignore_ascii_case("subscriptions")
            && groups_word.eq_ignore_ascii_case("resourceGroups")
            && !subscription.is_empty()
            && !group.is_empty()
        {
            let found = ArmId::resource_group(subscription, group);
            if !groups.contains(&found) {
                groups.push(found);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forms of pages that the portals of Azure's clouds show.
    #[test]
    fn a_page_of_the_portal_names_its_group() {
        let expected = Ok(ArmId::resource_group("s", "rg-mrg-demo"));
        for url in [
            "https://portal.azure.com/#@contoso.onmicrosoft.com/resource/subscriptions/s/resourceGroups/rg-mrg-demo/overview",
            "https://portal.azure.com/#resource/subscriptions/s/resourcegroups/rg-mrg-demo",
            "https://portal.azure.us/?l=en#@contoso.us/resource/subscriptions/s/resourceGroups/rg-mrg-demo/overview",
            "https://portal.azure.cn/#@contoso.cn/resource/subscriptions/s/resourceGroups/rg-mrg-demo/users ",
            "https://portal.azure.com/#@contoso.com/resource/subscriptions/s/resourceGroups/rg-mrg-demo/providers/Microsoft.Storage/storageAccounts/hcs1/overview",
            "https://portal.azure.com/#view/HubsExtension/ResourceMenuBlade/~/overview/id/%2Fsubscriptions%2Fs%2FresourceGroups%2Frg-mrg-demo",
            "https://ms.portal.azure.com/#blade/HubsExtension/ResourceMenuBlade/id/%2fsubscriptions%2fs%2fresourceGroups%2frg-mrg-demo/menuId/overview",
            "https://portal.azure.com/#resource/subscriptions/s/resourceGroups/rg-mrg-demo?tab=tags",
            "https://portal.azure.com/#view/X/id/%2Fsubscriptions%2Fs%2FresourceGroups%2Frg-mrg-demo/scope/%2Fsubscriptions%2FS%2FresourceGroups%2FRG-MRG-DEMO%2Fproviders%2FX",
            "/subscriptions/s/resourceGroups/rg-mrg-demo",
            "s/rg/demo",
        ] {
            assert_eq!(parse_cluster_reference(url), expected, "{url}");
        }
    }

    #[test]
    fn other_addresses_name_nothing() {
        for url in [
            "https://portal.azure.com/#home",
            "https://portal.azure.com/#@contoso.com/resource/subscriptions/s/overview",
            "https://portal.azure.com/#@contoso.com/resource/subscriptions//resourceGroups/",
            "https://management.azure.com/subscriptions/s/resourceGroups/rg-mrg-demo",
            "https://portal.azure.com/#view/X/id/%2Fsubscriptions%2Fs%2FresourceGroups%2Fone/to/%2Fsubscriptions%2Fs%2FresourceGroups%2Ftwo",
            "https://portal.azure.com/#%ff/subscriptions/s/resourceGroups/rg-mrg-demo",
        ] {
            assert!(parse_cluster_reference(url).is_err(), "{url}");
        }
    }
}
