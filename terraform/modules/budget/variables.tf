variable "environment" {
  description = "Which environment's money this is."
  type        = string
}

variable "project_number" {
  description = "The number of the project whose costs count."
  type        = string
}

variable "billing_account" {
  description = "The account that pays."
  type        = string

  validation {
    condition     = can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.billing_account))
    error_message = "billing_account is of the form 012345-6789AB-CDEF01, as `gcloud billing accounts list` shows it."
  }
}

variable "monthly" {
  description = "What a month may cost, in whole units of the currency."
  type        = number

  validation {
    condition     = var.monthly >= 1 && floor(var.monthly) == var.monthly
    error_message = "monthly is a whole amount of at least 1."
  }
}

variable "currency" {
  description = "The currency that the billing account is in."
  type        = string
  default     = "USD"

  validation {
    condition     = can(regex("^[A-Z]{3}$", var.currency))
    error_message = "currency is three capitals, such as USD; Google refuses another than the billing account's."
  }
}

variable "channels" {
  description = "Who is told, beside those who see the bill: notification channels of Cloud Monitoring of type email, five at most."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.channels) <= 5
    error_message = "Google tells of a budget through five channels at most."
  }
}
