//! What Azure takes counts for the tags of the cluster and those of the provider together.

use tfplugin::Value;

use crate::testing::core::plan;
use crate::testing::{Azure, demo};

fn tags(start: &str, count: usize) -> Value {
    let names: Vec<String> = (0..count).map(|number| format!("{start}{number}")).collect();
    Value::map(names.iter().map(|name| (name.as_str(), Value::from("x"))))
}

#[tokio::test(start_paused = true)]
async fn tags_of_both_maps_count_together() {
    let azure = Azure::new().await;
    let planned = async |default_tags: Value| {
        let provider = azure.provider(default_tags, None);
        plan(&provider.cluster(), &Value::Null, &[], &demo([("tags", tags("own", 30))])).await
    };
    planned(tags("default", 17)).await.unwrap();
    // A name that stands in both is written once.
    planned(tags("own", 40)).await.unwrap();
    let refused = format!("{:?}", planned(tags("default", 18)).await.unwrap_err());
    for words in ["With the provider's default_tags: 48 tags", "Azure allows 50"] {
        assert!(refused.contains(words), "{refused}");
    }
}
