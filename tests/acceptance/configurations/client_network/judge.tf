# Made in the same run as the cluster, by another provider, with what the cluster tells and an ephemeral hands out.

resource "consul_keys" "judge" {
  key {
    path  = "judge/key"
    value = "from the provider"
  }
}

resource "consul_acl_policy" "judge" {
  name  = "judge"
  rules = "key_prefix \"judge/\" { policy = \"read\" }"
}

resource "consul_acl_token" "judge" {
  policies = [consul_acl_policy.judge.name]
}

resource "consul_config_entry" "judge" {
  kind        = "service-defaults"
  name        = "judge"
  config_json = jsonencode({ Protocol = "http", Expose = {}, MeshGateway = {}, TransparentProxy = {} })
}
