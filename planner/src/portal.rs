//! Addresses of pages in Azure's portal, which is where people copy from what they look at.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::arm::ArmId;
use crate::names::parse_cluster_id;

/// The cluster that a person names: in a form of [`parse_cluster_id`], or by the address of the portal's page of its
/// managed group, or of an object in that.
///
/// Errors are a sentence about `text`.
pub fn parse_cluster_reference(text: &str) -> Result<ArmId, String> {
    match group_of_page(text.trim()) {
        Some(group) => Ok(group),
        None => parse_cluster_id(text),
    }
}

/// The group in whose pages `url` is; `None` for what is no page of a group.
///
/// The portal puts an id behind the `#`, plainly (`#@contoso.com/resource/subscriptions/...`) or as a value with its
/// slashes encoded (`#view/.../id/%2Fsubscriptions%2F...`).
fn group_of_page(url: &str) -> Option<ArmId> {
    let page = url.strip_prefix("https://")?.split_once('#')?.1;
    let page: Cow<'_, str> = percent_decode_str(page).decode_utf8().ok()?;
    let words: Vec<&str> = page.split('/').collect();
    let group = words.windows(4).find_map(|words| match words {
        [subscriptions, subscription, groups, group]
            if subscriptions.eq_ignore_ascii_case("subscriptions")
                && groups.eq_ignore_ascii_case("resourceGroups") =>
        {
            Some((*subscription, *group))
        }
        _ => None,
    });
    group
        .filter(|(subscription, group)| !subscription.is_empty() && !group.is_empty())
        .map(|(subscription, group)| ArmId::resource_group(subscription, group))
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
            "https://portal.azure.com/#%ff/subscriptions/s/resourceGroups/rg-mrg-demo",
        ] {
            assert!(parse_cluster_reference(url).is_err(), "{url}");
        }
    }
}
