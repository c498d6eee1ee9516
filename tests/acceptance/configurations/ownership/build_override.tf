# A tag that is not known while planning.

resource "hcs_cluster" "main" {
  tags = { build = terraform_data.build.id }
}
