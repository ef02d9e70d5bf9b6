variable "project_id" {
  description = "The Google project."
  type        = string
}

variable "region" {
  description = "Where builds run."
  type        = string
}

variable "account" {
  description = "The service account that builds run as, by its e-mail."
  type        = string
}

variable "repository" {
  description = "The connected repository; null while there is none."
  type        = string
  default     = null

  validation {
    condition     = var.repository == null || can(regex("^projects/[^/]+/locations/[^/]+/connections/[^/]+/repositories/[^/]+$", var.repository))
    error_message = "repository is projects/PROJECT/locations/REGION/connections/CONNECTION/repositories/NAME, as `gcloud builds repositories list` shows it."
  }
}

variable "branch" {
  description = "The branch whose pushes are released."
  type        = string
  default     = "main"

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9/_-]*$", var.branch))
    error_message = "branch is the name of one branch, not a pattern: a pattern releases whatever matches."
  }
}

variable "approval" {
  description = "Whether somebody must say yes before a build starts."
  type        = bool
}

variable "substitutions" {
  description = "What cloudbuild.yaml is told, by names that begin with an underscore."
  type        = map(string)

  validation {
    condition     = alltrue([for name in keys(var.substitutions) : can(regex("^_[A-Z][A-Z0-9_]*$", name))])
    error_message = "Substitutions of one's own begin with an underscore and are in capitals: _ENVIRONMENT."
  }
}
