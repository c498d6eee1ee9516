# There is no block yet: the import says whose the resource is, and terraform writes the block.

import {
  provider = hcs
  to       = hcs_cluster.found
  id       = var.cluster
}
