terraform {
  required_version = ">= 1.8"
  required_providers {
    hcs = {
      source  = "hcs-community/hcs"
      version = "~> 0.1"
    }
  }
}

provider "hcs" {}

resource "hcs_cluster" "demo" {
  name                = "demo"
  resource_group_name = "rg"
}
