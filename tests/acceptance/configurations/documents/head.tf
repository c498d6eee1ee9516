# What a block takes for granted that has no terraform block.

terraform {
  required_providers {
    hcs = {
      source = "hcs-community/hcs"
    }
  }
}
