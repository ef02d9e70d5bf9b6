variable "project_id" {
  description = "The Google project."
  type        = string
}

variable "region" {
  description = "Where the secrets are kept, and nowhere else."
  type        = string
}

variable "secrets" {
  description = "Who may read each secret: members by their names, by secrets."
  type        = map(map(string))

  validation {
    condition     = alltrue([for members in values(var.secrets) : length(members) > 0])
    error_message = "A secret that nobody may read is one that nobody needs."
  }
}

variable "deletion_protection" {
  description = "Whether a secret refuses to be destroyed."
  type        = bool
}
