# Beside the reference's example of a list: every cluster that there is.

terraform {
  required_version = ">= 1.8"
  required_providers {
    hcs = {
      source = "hcs-community/hcs"
    }
  }
}

provider "hcs" {}

data "hcs_clusters" "all" {}
