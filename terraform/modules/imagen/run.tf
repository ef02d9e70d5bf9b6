module "run" {
  source = "../run"

  project_id          = local.project_id
  project_number      = var.project_number
  region              = var.region
  domain              = var.domain
  image               = "${module.registry.url}/api"
  image_tag           = var.image_tag
  network             = module.network.network
  subnetwork          = module.network.run_subnet
  bucket              = module.storage.images
  firestore_database  = module.firestore.name
  retention_days      = var.retention_days
  web                 = var.size.web
  webhooks            = var.size.webhooks
  deletion_protection = var.deletion_protection

  secrets = {
    secret_key   = local.secrets["secret-key"]
    database_url = module.sql.database_url_secret
    redis_url    = module.redis.redis_url_secret
  }

  service_accounts = {
    web      = module.identity.emails["imagen-web"]
    webhooks = module.identity.emails["imagen-webhooks"]
    migrate  = module.identity.emails["imagen-migrate"]
    push     = module.identity.emails["imagen-push"]
  }

  access = {
    web = {
      # Whoever comes by the load balancer: there is no other way to it.
      "roles/run.invoker"   = { everybody = "allUsers" }
      "roles/run.developer" = { build = local.members.build }
    }

    webhooks = {
      "roles/run.invoker"   = { push = local.members.push }
      "roles/run.developer" = { build = local.members.build }
    }

    migrate = { "roles/run.developer" = { build = local.members.build } }
  }
}

locals {
  # What calls the webhooks, and how it says who it is.
  push = {
    url             = module.run.webhooks_url
    audience        = module.run.webhooks_url
    service_account = module.identity.emails["imagen-push"]
  }
}
