# The block was written, and the import must not say any more whose it is.

import {
  to = hcs_cluster.found
  id = var.cluster
}
