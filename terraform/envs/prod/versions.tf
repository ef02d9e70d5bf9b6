terraform {
  # Arguments that are written and not kept, as the database's password is.
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 8.7, < 9"
    }
  }

  # Its bucket is told when it is initialised, since it belongs to the project: README.md says how.
  backend "gcs" {
    prefix = "terraform"
  }
}

provider "google" {
  project = var.project_id
  region  = var.region
  # Of a person's credentials, budgets and Firestore's rules want to know whose quota they count against.
  billing_project       = var.project_id
  user_project_override = true
}
