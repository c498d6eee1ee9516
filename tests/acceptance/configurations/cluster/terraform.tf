terraform {
  required_version = ">= 1.8"
  required_providers {
    hcs = {
      source = "hcs-community/hcs"
    }
  }
}

provider "hcs" {
  default_tags {
    tags = var.default_tags
  }
}
