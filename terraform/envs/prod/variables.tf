# What is wrong with a value is said by modules/imagen, which takes them all.

variable "project_id" {
  description = "The Google project of this environment."
  type        = string
}

variable "project_number" {
  description = "The project's number."
  type        = string
}

variable "region" {
  description = "Where everything runs."
  type        = string
  default     = "europe-west4"
}

variable "domain" {
  description = "The host name of the site."
  type        = string
}

variable "image_tag" {
  description = "The tag of the images that Cloud Run begins with."
  type        = string
}

variable "repository" {
  description = "The repository that Cloud Build is connected with."
  type        = string
  default     = null
}

variable "budget" {
  description = "What a month may cost, and whose money it is; null where the billing account gives no right to make one."
  type = object({
    billing_account = string
    monthly         = number
    currency        = optional(string, "USD")
  })
}

variable "database_password" {
  description = "The database's password, when it is to be set: TF_VAR_database_password, and no file."
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true
}

variable "database_password_version" {
  description = "Raised by one to set another password."
  type        = number
  default     = 1
}

variable "alerts" {
  description = "Whom alerts are sent to, where their runbooks can be read, and objectives = true once workers have run; nobody hears of anything while it is empty."
  type = object({
    channels = optional(map(object({
      type   = string
      labels = map(string)
      tells  = optional(set(string), ["page", "ticket"])
    })), {})
    made_by_hand = optional(object({
      page   = optional(set(string), [])
      ticket = optional(set(string), [])
    }), {})
    runbooks   = optional(string, "")
    objectives = optional(bool, false)
  })
  default = {}
}
